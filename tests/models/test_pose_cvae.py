"""PoseCVAE: seeds, latents, joins and range."""

import math

import pytest
import torch

from expnet.errors import InputError
from expnet.models.latent_prior import LatentPrior
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.pose_discriminator import PoseDiscriminator
from expnet.models.pose_motion import FAR_WHEN_DRAWN, LEAST_ROOM, ROTATION_LIMIT, continuation, within_reach
from expnet.training.losses import kl_loss

SMALL = {"latent": 8, "width": 32, "layers": 2, "audio_channels": 8, "audio_features": 8, "styles": 3, "dropout": 0.0}
STD = torch.tensor([0.08, 0.1, 0.05, 0.02, 0.02, 0.2])


def mel_of(frames: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 80, 32 + math.ceil(3.2 * frames), generator=torch.Generator().manual_seed(seed))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def new_model(seed: int = 0, **options: object) -> PoseCVAE:
    torch.manual_seed(seed)
    model = PoseCVAE(**{**SMALL, **options}).eval()
    model.set_statistics(pose_std=STD, mel_mean=torch.tensor(0.0), mel_std=torch.tensor(1.0))
    return model


def toy_motion(batch: int, frames: int, generator: torch.Generator) -> torch.Tensor:
    """Slow sways of random phase and pace, (B, T, 6) relative to frame 0."""
    time = torch.arange(frames) / 25
    pace = 0.2 + 0.5 * torch.rand(batch, 1, 6, generator=generator)
    phase = 6.28 * torch.rand(batch, 1, 6, generator=generator)
    sway = torch.sin(6.28 * pace * time[None, :, None] + phase) * STD
    return sway - sway[:, :1]


@pytest.fixture(scope="module")
def trained() -> PoseCVAE:
    model = new_model().train()
    generator = seeded(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(250):
        pose = toy_motion(16, 97, generator)
        out = model(mel_of(97, 16, seed=step), pose, torch.zeros(16, 6))
        error = ((out.predicted - out.target) / STD).square().mean()
        loss = error + 1e-3 * min(1.0, step / 100) * kl_loss(out.mean, out.log_variance)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_it_learns_and_uses_its_latent(trained: PoseCVAE) -> None:
    pose = toy_motion(32, 97, seeded(9))
    with torch.no_grad():
        out = trained(mel_of(97, 32), pose, torch.zeros(32, 6), from_prior=True)
    error = ((out.predicted - out.target) / STD).square().mean()
    blind = ((out.from_prior - out.target) / STD).square().mean()
    hold = (out.target / STD).square().mean()
    assert float(error) < 0.3 * float(blind)
    assert float(error) < 0.25 * float(hold)


def test_mean_and_log_variance_have_separate_heads(trained: PoseCVAE) -> None:
    pose = toy_motion(8, 33, seeded(1))
    with torch.no_grad():
        out = trained(mel_of(33, 8), pose, torch.zeros(8, 6))
    assert trained.mean_head.weight is not trained.log_variance_head.weight
    assert not torch.allclose(out.mean, out.log_variance, atol=1e-2)
    trained.zero_grad(set_to_none=True)
    out = trained(mel_of(33, 8), pose, torch.zeros(8, 6))
    out.log_variance.sum().backward()
    assert trained.log_variance_head.weight.grad.any()
    assert trained.mean_head.weight.grad is None


def test_seeds(trained: PoseCVAE) -> None:
    mel, first = mel_of(150), torch.zeros(1, 6)
    one, again = (trained.sample(mel, 150, first, generator=seeded(3)) for _ in range(2))
    other = trained.sample(mel, 150, first, generator=seeded(4))
    assert torch.equal(one, again)
    assert float((one - other).abs().mean()) > 0.01
    assert one.shape == (1, 150, 6)
    assert not one[:, 0].any()
    still = [trained.sample(mel, 150, first, generator=seeded(s), temperature=0) for s in (3, 4)]
    assert torch.equal(*still)


@pytest.mark.parametrize("frames", [1, 2, 32, 33, 34, 700])
def test_any_length(frames: int) -> None:
    out = new_model().sample(mel_of(frames), frames, torch.zeros(1, 6), generator=seeded(0))
    assert out.shape == (1, frames, 6)
    assert torch.isfinite(out).all()


def test_a_longer_sample_begins_like_a_shorter_one(trained: PoseCVAE) -> None:
    mel = mel_of(200)
    long = trained.sample(mel, 200, torch.zeros(1, 6), generator=seeded(0))
    short = trained.sample(mel, 129, torch.zeros(1, 6), generator=seeded(0))
    torch.testing.assert_close(long[:, :129], short, atol=1e-5, rtol=1e-4)


def test_joins_move_no_more_than_the_rest(trained: PoseCVAE) -> None:
    """Velocity and acceleration at the joins of windows are not above those inside them."""
    with torch.no_grad():
        pose = trained.sample(mel_of(1500, 4), 1500, torch.zeros(4, 6), generator=seeded(5)) / STD
    for order in (1, 2):
        size = pose.diff(n=order, dim=1).norm(dim=-1).mean(dim=0)  # (T - order,)
        # frame 32 k is the last of a window and 32 k + 1 the first of the next
        joins = torch.zeros(len(size), dtype=torch.bool)
        for join in range(32, 1500 - 2, 32):
            joins[join - order + 1 : join + 1] = True
        assert float(size[joins].mean()) <= 1.1 * float(size[~joins].mean()), order


def test_no_drift_and_within_reach(trained: PoseCVAE) -> None:
    first = torch.tensor([[0.1, 0.55, 0.0, 0.0, 0.0, 0.0]])
    pose = trained.sample(mel_of(4500), 4500, first, generator=seeded(6))
    absolute = (pose + first)[..., :3].abs().amax(dim=1)[0]
    assert bool((absolute <= torch.tensor([ROTATION_LIMIT, 0.66, ROTATION_LIMIT]) + 1e-5).all())
    # Over three minutes, eight heads neither drift away nor sway more at the end than at the beginning.
    poses = trained.sample(mel_of(4500).expand(8, -1, -1), 4500, torch.zeros(8, 6), generator=seeded(6)) / STD
    begin, _, end = poses.unflatten(1, (3, 1500)).unbind(dim=1)  # (8, 1500, 6)
    assert float((end.mean(dim=(0, 1)) - begin.mean(dim=(0, 1))).abs().max()) < 0.6
    assert bool((end.std(dim=(0, 1)) < 1.3 * begin.std(dim=(0, 1))).all())


def test_latents_are_drawn_from_the_distribution_of_real_motion() -> None:
    prior = LatentPrior(2)
    generator = seeded(0)
    mixing = torch.tensor([[1.5, 0.0], [1.0, 0.2]])
    for _ in range(400):
        mean = torch.randn(64, 2, generator=generator) @ mixing.T + torch.tensor([1.0, -1.0])
        prior.remember(mean, torch.full((64, 2), -20.0))
    drawn = prior(torch.randn(5000, 2, generator=generator))
    torch.testing.assert_close(drawn.mean(dim=0), torch.tensor([1.0, -1.0]), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), mixing @ mixing.T, atol=0.2, rtol=0)


def test_conditions_change_the_motion(trained: PoseCVAE) -> None:
    mel, first = mel_of(80), torch.zeros(1, 6)
    plain = trained.sample(mel, 80, first, generator=seeded(0))
    assert not torch.allclose(plain, trained.sample(mel_of(80, seed=7), 80, first, generator=seeded(0)), atol=1e-5)
    turned = torch.tensor([[0.0, 0.2, 0.0, 0.0, 0.0, 0.0]])
    assert not torch.allclose(plain, trained.sample(mel, 80, turned, generator=seeded(0)), atol=1e-5)


def test_small_poses_are_left_as_they_are() -> None:
    pose = 0.2 * torch.rand(1, 50, 6) * torch.tensor([1, 1, 1, 0.05, 0.05, 0.5])
    assert torch.allclose(within_reach(pose, torch.zeros(1, 6), STD), pose, atol=1e-6)
    far = torch.full((1, 1, 6), 9.0)
    bent = within_reach(far, torch.zeros(1, 6), STD)[0, 0]
    torch.testing.assert_close(bent, torch.cat([torch.full((3,), ROTATION_LIMIT), 3 * STD[3:]]), atol=1e-3, rtol=1e-3)


def test_a_portrait_that_is_turned_far_is_hardly_turned_further() -> None:
    first = torch.tensor([[0.35, 0.55, 0.0, 0.0, 0.0, 0.0]])
    bent = within_reach(torch.full((1, 3, 6), 2.0), first, STD) + first[:, None]
    limits = torch.tensor([ROTATION_LIMIT, 0.55 + LEAST_ROOM, ROTATION_LIMIT])
    torch.testing.assert_close(bent[0, 0, :3], limits, atol=1e-3, rtol=0)


def test_a_drawn_head_is_pulled_back_sooner_than_one_in_training() -> None:
    past = torch.full((1, 8, 6), 2.0)
    seen, reach = torch.ones(1, 8, dtype=torch.bool), torch.ones(1, 6)
    torch.testing.assert_close(continuation(past, seen, reach, 32), torch.full((1, 32, 6), 2.0))
    drawn = continuation(past, seen, reach, 32, far=FAR_WHEN_DRAWN)
    assert bool((drawn.diff(dim=1) < 0).all())
    assert bool((drawn > FAR_WHEN_DRAWN).all())


def test_an_invalid_past_is_ignored() -> None:
    model = new_model()
    pose = toy_motion(1, 65, seeded(0))
    valid = torch.ones(1, 65, dtype=torch.bool)
    valid[:, 27] = False
    spoilt = pose.clone()
    spoilt[:, 27] = 3.0
    with torch.no_grad():
        first, second = (model(mel_of(65), p, torch.zeros(1, 6), valid=valid) for p in (pose, spoilt))
        seen = model(mel_of(65), spoilt, torch.zeros(1, 6))
    # the second window: its own posterior does not depend on frame 27
    torch.testing.assert_close(first.predicted[1], second.predicted[1])
    assert not torch.allclose(seen.predicted[1], second.predicted[1], atol=1e-5)
    assert not first.valid[0, 26]


def test_too_short_a_stretch_is_refused() -> None:
    with pytest.raises(InputError, match="needs at least 33 frames at once, not 32"):
        new_model()(mel_of(32), torch.zeros(1, 32, 6), torch.zeros(1, 6))


def test_discriminator_scores_patches() -> None:
    judge = PoseDiscriminator(8)
    poses = torch.randn(2, 32, 6, requires_grad=True)
    scores = judge(poses)
    assert scores.shape == (2, 8)
    scores.sum().backward()
    assert poses.grad.any()
