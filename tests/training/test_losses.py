"""Losses against values computed by hand and against explicit loops."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from expnet.training.losses import (
    annealed,
    balance_windows,
    coefficient_loss,
    discount_offset,
    eye_loss,
    eye_ratio,
    gaussian_kl,
    image_loss,
    kl_loss,
    landmark_loss,
    landmark_weights,
    lip_spread_loss,
    masked_mean,
    motion_energy,
    opening_correlation_loss,
    pyramid_loss,
    sharpness,
    texture_loss,
    velocity_loss,
)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    predicted, target = (torch.randn(2, 6, 3, generator=generator) for _ in range(2))
    root = torch.randn(3, 3, generator=generator)
    valid = torch.tensor([[1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0]], dtype=torch.bool)
    return predicted, target, root.T @ root, valid


def test_coefficient_loss_by_hand() -> None:
    predicted = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    target = torch.tensor([[[0.0, 0.0], [0.0, 3.0]]])
    metric = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    # first frame: 2*1 + 2*0.5*1*2 + 1*4 = 8; second: 9
    assert float(coefficient_loss(predicted, target, metric)) == pytest.approx(8.5)
    assert float(coefficient_loss(predicted, target, metric, torch.tensor([[True, False]]))) == pytest.approx(8.0)


def test_coefficient_loss_is_the_mean_squared_vertex_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(7, 3, 4, generator=generator)  # vertices, axes, coefficients
    predicted, target = (torch.randn(2, 5, 4, generator=generator) for _ in range(2))
    metric = torch.einsum("vae,vaf->ef", basis, basis) / 7
    vertices = torch.einsum("vae,bte->btva", basis, predicted - target)
    expected = vertices.square().sum(-1).mean()
    torch.testing.assert_close(coefficient_loss(predicted, target, metric), expected)


def test_losses_against_loops(batch) -> None:
    predicted, target, metric, valid = batch
    error = predicted - target
    coefficients = [error[b, t] @ metric @ error[b, t] for b in range(2) for t in range(6) if valid[b, t]]
    torch.testing.assert_close(coefficient_loss(predicted, target, metric, valid), torch.stack(coefficients).mean())
    velocities = []
    for b in range(2):
        for t in range(5):
            if valid[b, t] and valid[b, t + 1]:
                d = error[b, t + 1] - error[b, t]
                velocities.append(d @ metric @ d)
    torch.testing.assert_close(velocity_loss(predicted, target, metric, valid), torch.stack(velocities).mean())


def test_invalid_frames_change_nothing(batch) -> None:
    predicted, target, metric, valid = batch
    spoilt = torch.where(valid[..., None], predicted, torch.full_like(predicted, 1e6))
    for loss in (coefficient_loss, velocity_loss):
        torch.testing.assert_close(loss(spoilt, target, metric, valid), loss(predicted, target, metric, valid))


def test_a_batch_without_valid_frames_gives_zero_and_a_gradient(batch) -> None:
    predicted, target, metric, _ = batch
    predicted.requires_grad_()
    loss = velocity_loss(predicted, target, metric, torch.zeros(2, 6, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not predicted.grad.any()
    assert float(masked_mean(torch.ones(3), None)) == 1


def test_landmark_weights_favour_the_inner_mouth() -> None:
    weights = landmark_weights(mouth=2, inner_mouth=10)
    assert float(weights.mean()) == pytest.approx(1)
    assert float(weights[60] / weights[0]) == pytest.approx(10)
    assert float(weights[48] / weights[36]) == pytest.approx(2)


def test_landmark_loss_by_hand() -> None:
    predicted = torch.zeros(1, 2, 3, 2)
    target = predicted.clone()
    target[0, 0, 1] = torch.tensor([3.0, 4.0])
    target[0, 1] = 1.0
    weights = torch.tensor([1.0, 2.0, 0.0])
    # first frame: 2*25/3, second: (2 + 4 + 0)/3
    assert float(landmark_loss(predicted, target, weights)) == pytest.approx((50 / 3 + 2) / 2)
    assert float(landmark_loss(predicted, target, weights, torch.tensor([[False, True]]))) == pytest.approx(2)


def open_eyes(height: float, width: float = 2.0) -> torch.Tensor:
    points = torch.zeros(1, 1, 68, 2)
    for outer, inner, upper, lower in ((36, 39, (37, 38), (41, 40)), (42, 45, (43, 44), (47, 46))):
        points[..., inner, 0] = width
        for pair in (upper, lower):
            points[..., pair[0], 0], points[..., pair[1], 0] = width / 3, 2 * width / 3
        points[..., list(upper), 1] = height
        points[..., outer, 0] = 0
    return points


def test_eye_ratio_and_loss_by_hand() -> None:
    assert float(eye_ratio(open_eyes(0.6))) == pytest.approx(0.3)
    assert float(eye_ratio(open_eyes(0.6) * 7)) == pytest.approx(0.3)
    assert float(eye_loss(open_eyes(0.6), open_eyes(0.2))) == pytest.approx(0.2)


def test_kl_by_hand_and_by_torch() -> None:
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)]])
    expected = torch.tensor([[0.5, 0.5 * (4 - 1 - math.log(4.0))]])
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected)
    normal = torch.distributions.Normal
    torch.testing.assert_close(
        torch.distributions.kl_divergence(normal(mean, (0.5 * log_variance).exp()), normal(0.0, 1.0)), expected
    )
    assert float(kl_loss(mean, log_variance)) == pytest.approx(float(expected.sum()))
    assert float(kl_loss(torch.zeros(3, 4), torch.zeros(3, 4))) == 0


def test_free_nats_stop_the_push_towards_collapse() -> None:
    mean = torch.tensor([[0.1, 2.0], [-0.1, -2.0]], requires_grad=True)
    loss = kl_loss(mean, torch.zeros(2, 2), free_nats=0.5)
    assert float(loss.detach()) == pytest.approx(0.5 + 2.0)
    loss.backward()
    assert not mean.grad[:, 0].any()
    assert mean.grad[:, 1].all()


def test_annealing() -> None:
    assert [annealed(step, steps=4) for step in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    assert annealed(0, steps=0) == 1


def test_discounted_offset_splits_the_error_into_motion_and_mean(batch) -> None:
    predicted, target, _, valid = batch
    predicted = predicted + 3.0
    assert torch.equal(discount_offset(predicted, target, valid, weight=1.0), predicted)
    for weight in (0.0, 0.1):
        error = discount_offset(predicted, target, valid, weight=weight) - target
        for b in range(2):
            plain = (predicted - target)[b, valid[b]]
            mean = plain.mean(dim=0)
            expected = (plain - mean).square().sum() + weight * len(plain) * mean.square().sum()
            torch.testing.assert_close(error[b, valid[b]].square().sum(), expected)
    points = torch.randn(2, 6, 4, 3)
    assert discount_offset(points, points * 0, None, weight=0.0).mean(dim=1).abs().max() < 1e-6


def test_motion_energy_is_the_weighted_variance(batch) -> None:
    _, target, metric, valid = batch
    energy = motion_energy(target, metric, valid)
    for clip in range(len(target)):
        frames = target[clip][valid[clip]]
        motion = frames - frames.mean(dim=0)
        expected = sum(float(row @ metric @ row) for row in motion) / len(motion)
        assert float(energy[clip]) == pytest.approx(expected, rel=1e-4)


def test_balance_by_hand() -> None:
    target = torch.zeros(2, 1, 1)
    predicted = torch.ones(2, 1, 1)
    energy = torch.tensor([1.0, 3.0])  # 0.5 and 1.5 times their mean
    squared = balance_windows(predicted, target, energy, share=0.5).square().flatten()
    torch.testing.assert_close(squared, torch.tensor([1 / 0.75, 1 / 1.25]))
    assert torch.equal(balance_windows(predicted, target, energy, share=0.0), predicted)


def images(seed: int, size: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.rand(2, 2, 3, size, size, generator=generator)
    return first, second, torch.rand(2, 1, size, size, generator=generator)


def test_image_loss_against_a_loop() -> None:
    first, second, weight = images(0)
    total = sum(
        float(weight[b, 0, y, x] * (first[b, c, y, x] - second[b, c, y, x]).abs())
        for b in range(2)
        for c in range(3)
        for y in range(16)
        for x in range(16)
    )
    assert float(image_loss(first, second, weight)) == pytest.approx(total / float(3 * weight.sum()), rel=1e-5)
    assert image_loss(first, second, 0 * weight) == 0


def test_pyramid_loss_is_zero_for_equal_images_and_sees_every_scale() -> None:
    first, second, weight = images(1)
    assert pyramid_loss(first, first, weight) == 0
    assert pyramid_loss(first, second, weight) > 0
    flat = torch.ones(1, 1, 16, 16)
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    for times in (1, 2, 4, 8):
        squares = board.repeat_interleave(times, 0).repeat_interleave(times, 1)
        squares = squares.repeat(8 // times, 8 // times)[None, None]
        # A checkerboard lies entirely in the level whose 2 x 2 blocks average to 0.
        loss = pyramid_loss(squares, torch.zeros_like(squares), flat, levels=4)
        assert float(loss) == pytest.approx(1 / 5)
    even = pyramid_loss(torch.full((1, 1, 16, 16), 0.5), torch.zeros(1, 1, 16, 16), flat, levels=4)
    assert float(even) == pytest.approx(0.5 / 5)


def test_texture_loss_punishes_a_blur_more_than_a_shift() -> None:
    sharp = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    weight = torch.ones(1, 1, 64, 64)
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, stride=1, padding=1, count_include_pad=False)
    shifted = sharp.roll(1, dims=-1)
    assert texture_loss(sharp, sharp, weight) == 0
    assert texture_loss(blurred, sharp, weight) > 5 * texture_loss(shifted, sharp, weight)
    assert image_loss(blurred, sharp, weight) < image_loss(shifted, sharp, weight)
    assert float(sharpness(blurred, weight) / sharpness(sharp, weight)) < 0.5


def test_sharpness_of_a_slope() -> None:
    slope = 0.1 * torch.arange(8.0).expand(1, 1, 8, 8)
    assert float(sharpness(slope, torch.ones(1, 1, 8, 8))) == pytest.approx(0.1, rel=1e-3)


def mouths(opening: torch.Tensor) -> torch.Tensor:
    """Landmarks (B, T, 68, 3) whose lower inner lip is ``opening`` (B, T) below the upper one; the eyes are 1 apart."""
    points = torch.zeros(*opening.shape, 68, 3)
    points[:, :, 45, 0] = 1.0
    points[:, :, 65:68, 1] = -opening[..., None]
    return points


def test_lips_that_move_together_and_as_far_cost_nothing() -> None:
    opening = torch.rand(2, 50, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 50, dtype=torch.bool)
    real = mouths(opening)
    assert float(opening_correlation_loss(real, real, valid)) == pytest.approx(0, abs=1e-6)
    assert float(lip_spread_loss(real, real, valid)) == 0
    half = mouths(0.5 * opening + 3)
    assert float(opening_correlation_loss(half, real, valid)) == pytest.approx(0, abs=1e-6)
    assert float(lip_spread_loss(half, real, valid)) == pytest.approx(math.log(2) ** 2, rel=1e-4)
    assert float(opening_correlation_loss(mouths(1 - opening), real, valid)) == pytest.approx(2, abs=1e-6)
    still = mouths(torch.full((2, 50), 0.3))
    assert float(opening_correlation_loss(still, real, valid)) == 1
    assert float(lip_spread_loss(still, real, valid)) == pytest.approx(math.log(20) ** 2, rel=1e-4)


def test_the_correlation_is_that_of_the_valid_frames_of_each_window() -> None:
    generator = torch.Generator().manual_seed(1)
    one, two = (torch.rand(3, 60, generator=generator) for _ in range(2))
    valid = torch.rand(3, 60, generator=generator) < 0.7
    valid[2, 19:] = False  # too few frames to count
    expected = np.mean([1 - np.corrcoef(one[b][valid[b]], two[b][valid[b]])[0, 1] for b in range(2)])
    assert float(opening_correlation_loss(mouths(one), mouths(two), valid)) == pytest.approx(expected, abs=1e-5)
    ratios = [math.log(float(one[b][valid[b]].std() / two[b][valid[b]].std())) ** 2 for b in range(2)]
    assert float(lip_spread_loss(mouths(one), mouths(two), valid)) == pytest.approx(np.mean(ratios), rel=1e-3)


@pytest.mark.parametrize("loss", [opening_correlation_loss, lip_spread_loss])
def test_losses_of_the_lips_have_finite_gradients(loss: Callable[..., torch.Tensor]) -> None:
    real = mouths(torch.rand(2, 30))
    for predicted in (mouths(torch.zeros(2, 30)), real.clone(), mouths(1e-3 * torch.rand(2, 30))):
        for valid in (torch.ones(2, 30, dtype=torch.bool), torch.zeros(2, 30, dtype=torch.bool)):
            points = predicted.clone().requires_grad_()
            loss(points, real, valid).backward()
            assert points.grad is not None
            assert torch.isfinite(points.grad).all()
