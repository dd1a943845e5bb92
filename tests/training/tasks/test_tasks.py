"""The LightningModules: losses by hand, averaged weights, schedule, augmentation, and short trainings."""

import copy
import math
import warnings

import pytest
import pytorch_lightning as pl
import torch
from small_tasks import QUIET, E, clip, expression_task, face_model, pose_task, statistics
from torch.utils.data import DataLoader

from expnet.audio.alignment import mel_columns
from expnet.config import AugmentConfig
from expnet.data.batch import collate
from expnet.models.pose_cvae import PoseWindows
from expnet.models.saved_model import load_model
from expnet.training.tasks.base_task import StepOutput, update_average
from expnet.training.tasks.expression_task import VELOCITY_SHARE, ExpressionTask
from expnet.training.tasks.mel_augmentation import augment_mel
from expnet.training.tasks.optimizers import learning_rate_factor, parameter_groups
from expnet.training.tasks.pose_task import ActiveUnits, liveliness_loss, pad_to_windows


def fit(task: pl.LightningModule, tmp_path, *, frames: int, steps: int = 30) -> tuple[pl.Trainer, list[StepOutput]]:
    outputs: list[StepOutput] = []

    class Collect(pl.Callback):
        def on_validation_batch_end(self, trainer, module, output, batch, batch_idx, dataloader_idx=0) -> None:
            outputs.append(output)

    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[Collect()],
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(
            task,
            DataLoader([clip(i, frames) for i in range(12)], batch_size=4, collate_fn=collate),
            DataLoader([clip(i, 70) for i in range(3)], batch_size=1, collate_fn=collate),
        )
    return trainer, outputs


def test_the_expression_network_learns(tmp_path) -> None:
    task = expression_task(150)
    trainer, outputs = fit(task, tmp_path, frames=48, steps=150)
    assert float(trainer.callback_metrics["val/loss"]) < 0.35 * 3
    assert float(trainer.callback_metrics["val/coefficient_loss"]) < 0.25
    last = outputs[-1]
    assert last.predicted.shape == last.target.shape == (1, 70, E)
    assert last.landmarks.shape == (1, 70, 68, 3)
    assert last.clip_ids == ("clip2",)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    checkpoint = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert not [name for name in checkpoint["state_dict"] if "face_model" in name or "metric" in name]
    assert checkpoint["expnet"]["task"] == "expression"
    model = load_model(tmp_path / "x.ckpt", "expression")
    batch = clip(0, 70)
    with torch.no_grad():
        assert torch.equal(
            model(batch.mel, 70, batch.first_expression), task.averaged.eval()(batch.mel, 70, batch.first_expression)
        )
    # Lightning's own way of loading
    again = ExpressionTask.load_from_checkpoint(tmp_path / "x.ckpt", face_model=face_model(), weights_only=True)
    assert torch.equal(again.model.head.weight, task.model.head.weight)
    assert torch.equal(again.averaged.head.weight, task.averaged.head.weight)


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_the_pose_network_learns(tmp_path, adversarial: float) -> None:
    task = pose_task(120, kl_anneal_steps=20, adversarial_weight=adversarial)
    trainer, outputs = fit(task, tmp_path, frames=65, steps=120)
    metrics = trainer.callback_metrics
    assert float(metrics["val/reconstruction"]) < min(0.6, 0.9 * float(metrics["val/reconstruction_from_prior"]))
    assert float(metrics["val/active_units"]) >= 1
    assert float(metrics["val/kl"]) > 0.1
    assert outputs[-1].predicted.shape == (1, 70, 6)
    if adversarial:
        assert {"train/generator", "train/discriminator"} <= set(metrics)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    assert load_model(tmp_path / "x.ckpt", "pose").options["latent"] == 4


def test_liveliness_is_about_distances_and_not_places() -> None:
    """A motion and its mirror image are equally lively; one of half the size differs by log(1 / 4)^2 at every lag."""
    target = torch.randn(20, 32, 6, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)
    nothing = torch.zeros(20, 4)
    shared = {"predicted": target, "target": target, "mean": nothing, "log_variance": nothing}
    shared |= {"valid": torch.ones(20, 32, dtype=torch.bool), "reach": torch.ones(20, 1, 6)}
    assert float(liveliness_loss(PoseWindows(**shared, from_prior=-target))) == pytest.approx(0.0, abs=1e-6)
    assert float(liveliness_loss(PoseWindows(**shared, from_prior=0.5 * target))) == pytest.approx(
        math.log(4) ** 2, rel=1e-3
    )
    spoilt = target.clone()
    spoilt[:, 5] = 99.0
    shared["valid"][:, 5] = False
    assert float(liveliness_loss(PoseWindows(**shared, from_prior=spoilt))) == pytest.approx(0.0, abs=1e-6)


def test_liveliness_can_be_left_out() -> None:
    task = pose_task(liveliness_weight=0.0)
    batch = collate([clip(i, 65) for i in range(2)])
    windows = task.model(batch.mel, batch.relative_pose, batch.first_pose)
    terms = task.losses(windows)
    assert "liveliness_loss" not in terms
    assert torch.isfinite(task.total(terms, windows, step=0))


def test_the_adversarial_terms_train_one_side_each() -> None:
    task = pose_task(adversarial_weight=1.0)
    batch = collate([clip(i, 65) for i in range(2)])
    windows = task.model(batch.mel, batch.relative_pose, batch.first_pose)
    generator, discriminator = task.adversarial_loss(windows)
    generator.backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in task.discriminator.parameters())
    assert task.model.head.weight.grad.any()
    task.zero_grad(set_to_none=True)
    discriminator.backward()
    assert all(parameter.grad is not None for parameter in task.discriminator.parameters())
    assert task.model.head.weight.grad is None


def test_expression_losses_by_hand() -> None:
    """The mean face has a coefficient loss of about 1, weights multiply, and two clips of one batch count alike."""
    weights = {"coefficient_weight": 2.0, "velocity_weight": 3.0, "landmark_weight": 5.0, "eye_weight": 7.0}
    task = expression_task(**weights, offset_weight=1.0, balance=0.0)
    generator = torch.Generator().manual_seed(3)
    batch = collate([clip(i, 500) for i in range(8)])
    batch.expression = torch.randn(8, 500, E, generator=generator) * statistics().expression_std
    predicted = torch.zeros(8, 500, E)
    losses, _ = task.losses(predicted, batch, batch.valid)
    assert float(losses["coefficient_loss"]) == pytest.approx(1, abs=0.1)
    assert float(losses["landmark_loss"]) == pytest.approx(1, abs=0.1)
    # white noise moves by twice its variance from frame to frame
    assert float(losses["velocity_loss"]) == pytest.approx(2 / VELOCITY_SHARE, rel=0.1)
    weighted = sum(
        weight * losses[name]
        for name, weight in (("coefficient_loss", 2), ("velocity_loss", 3), ("landmark_loss", 5), ("eye_loss", 7))
    )
    torch.testing.assert_close(losses["loss"], weighted)
    metric = face_model().expression_metric
    error = batch.expression[:2]
    expected = torch.stack([error[b, t] @ metric @ error[b, t] for b in range(2) for t in range(500)]).mean()
    two = collate([clip(i, 500) for i in range(2)])
    two.expression = error
    scale = (metric.diagonal() * statistics().expression_std.square()).sum()
    torch.testing.assert_close(task.losses(predicted[:2], two, two.valid)[0]["coefficient_loss"], expected / scale)


def test_padding_is_neither_scored_nor_seen() -> None:
    task = expression_task().eval()
    with torch.no_grad():
        task.model.head.weight.normal_()
    batch = clip(0, 60)
    batch.frames[:] = 40
    batch.valid[:, 40:] = False
    spoilt = copy.deepcopy(batch)
    spoilt.expression[:, 40:] = 50.0
    with torch.no_grad():
        losses = [task.losses(task.predict(task.model, b, b.mel), b, b.valid)[0]["loss"] for b in (batch, spoilt)]
    assert torch.equal(*losses)


def test_validation_weighs_clips_by_their_frames(tmp_path) -> None:
    """The logged value is the mean over all frames, not the mean over the clips' means."""
    task = expression_task()
    task.log = lambda *_args, **_kwargs: None
    for value, frames in ((1.0, 10), (4.0, 30)):
        task.log_losses({"loss": torch.tensor(value)}, torch.ones(1, frames, dtype=torch.bool))
    assert float(task.sums["loss"].compute()) == pytest.approx((10 + 120) / 40)


def test_pose_validation_is_repeatable_and_leaves_the_training_alone() -> None:
    task = pose_task().eval()
    task.log = lambda *_args, **_kwargs: None
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = task.validation_step(clip(0, 40), 0)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(6)
    assert torch.equal(first.predicted, task.validation_step(clip(0, 40), 0).predicted)


def test_averaged_weights() -> None:
    average, model = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.constant_(average.weight, 0.0)
    torch.nn.init.constant_(model.weight, 1.0)
    update_average(average, model, decay=0.9, step=10**6)
    assert float(average.weight.detach()) == pytest.approx(0.1)
    update_average(average, model, decay=0.9, step=0)  # d = min(.9, 1 / 10)
    assert float(average.weight.detach()) == pytest.approx(0.1 * 0.1 + 0.9)
    assert float(model.weight.detach()) == 1


def test_schedule() -> None:
    shares = [learning_rate_factor(step, warmup=4, steps=100, final=0.1) for step in range(101)]
    assert shares[0] == pytest.approx(0.2)
    assert shares[4] == 1
    assert shares[52] == pytest.approx(0.55)
    assert shares[100] == pytest.approx(0.1)
    assert shares[4:] == sorted(shares[4:], reverse=True)


def test_only_matrices_are_decayed() -> None:
    task = pose_task(adversarial_weight=1.0)
    decayed, kept = parameter_groups(task, 0.1)
    count = sum(p.numel() for group in (decayed, kept) for p in group["params"])
    assert count == sum(p.numel() for p in [*task.model.parameters(), *task.discriminator.parameters()])
    assert all(p.dim() >= 2 for p in decayed["params"])
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)


def test_augmentation() -> None:
    torch.manual_seed(0)
    mel = torch.zeros(64, 80, 100)
    assert torch.equal(augment_mel(mel, AugmentConfig(**QUIET)), mel)
    ramp = torch.arange(100.0).expand(64, 80, 100) / 100
    masked = augment_mel(ramp, AugmentConfig(**{**QUIET, "time_masks": 1, "time_mask_columns": 10}))
    hidden = (masked != ramp).all(dim=1).sum(dim=1)
    assert int(hidden.max()) == 10
    assert int(hidden.min()) == 0
    assert len(hidden.unique()) > 5
    # masked entries look like the average, never like silence
    torch.testing.assert_close(masked[masked != ramp], torch.full_like(masked[masked != ramp], 0.495))
    bands = augment_mel(ramp, AugmentConfig(**{**QUIET, "band_masks": 1, "band_mask_bands": 8}))
    assert int((bands != ramp).any(dim=2).sum(dim=1).max()) == 8
    peak = torch.zeros(64, 80, 100)
    peak[:, 40] = 1.0
    moved = augment_mel(peak, AugmentConfig(**{**QUIET, "warp": 0.1})).mean(dim=2).argmax(dim=1)
    assert 36 <= int(moved.min()) < 40 < int(moved.max()) <= 45
    noisy = augment_mel(torch.full((64, 80, 100), -4.0), AugmentConfig(**{**QUIET, "floor": 1.5})).mean(dim=(1, 2))
    assert float(noisy.min()) < -3.8
    assert -2.8 < float(noisy.max()) < -2.4
    louder = augment_mel(mel, AugmentConfig(**{**QUIET, "gain": 0.5}))
    assert float(louder.std(dim=(1, 2)).max()) == 0
    assert float(louder.mean(dim=(1, 2)).std()) == pytest.approx(0.5, rel=0.3)
    tilted = augment_mel(mel, AugmentConfig(**{**QUIET, "tilt": 0.5}))
    torch.testing.assert_close(tilted[:, 0], -tilted[:, -1])
    full = augment_mel(mel, AugmentConfig())
    assert float(full.min()) >= -4
    assert float(full.max()) <= 4


def test_active_units() -> None:
    metric = ActiveUnits(3)
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(200, 3, generator=generator) * torch.tensor([1.0, 0.01, 0.0]) + torch.tensor([0.0, 5.0, 1.0])
    metric.update(mean[:50])
    metric.update(mean[50:])
    assert int(metric.compute()) == 1


def test_padding_a_clip_to_windows() -> None:
    for frames, wanted in ((1, 33), (33, 33), (34, 65), (10, 33)):
        mel, pose, valid = pad_to_windows(
            torch.zeros(1, 80, mel_columns(frames)), torch.ones(1, frames, 6), torch.ones(1, frames).bool(), 32
        )
        assert pose.shape == (1, wanted, 6)
        assert mel.shape[-1] == mel_columns(wanted)
        assert int(valid.sum()) == frames
