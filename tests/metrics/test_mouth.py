import numpy as np
import pytest
import scipy.stats
import torch

from expnet.metrics import MouthOpeningCorrelation, MouthOpeningLag, SilentLipMotion
from expnet.metrics.functional import (
    best_lag,
    lagged_pearson,
    mouth_opening,
    pearson,
    silent_frames,
    silent_lip_motion,
)


def face_with_opening(opening: torch.Tensor, eyes: float = 90.0) -> torch.Tensor:
    """Return landmarks (..., T, 68, 2) with the given mouth opening (..., T)."""
    points = torch.zeros(*opening.shape, 68, 2, dtype=torch.float64)
    points[..., 36, 0], points[..., 45, 0] = -eyes / 2, eyes / 2
    points[..., 66, 1] = opening * eyes
    return points


def waves(batch: int, frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, frames + 4, generator=generator, dtype=torch.float64)
    return 0.1 + 0.05 * (noise[:, 4:] + noise[:, 3:-1] + noise[:, 2:-2])


def test_opening_is_scale_free() -> None:
    opening = torch.tensor([0.0, 0.1, 0.3], dtype=torch.float64)
    points = face_with_opening(opening)
    assert torch.allclose(mouth_opening(points), opening)
    assert torch.allclose(mouth_opening(points * 3 + 50), opening)
    nodded = torch.cat([points, torch.zeros_like(points[..., :1])], -1)  # (3, 68, 3)
    angle = torch.tensor(0.6, dtype=torch.float64)
    y, z = nodded[..., 1].clone(), nodded[..., 2].clone()
    nodded[..., 1], nodded[..., 2] = y * angle.cos() - z * angle.sin(), y * angle.sin() + z * angle.cos()
    assert torch.allclose(mouth_opening(nodded), opening)  # in 3D the head pose does not matter
    assert mouth_opening(nodded[..., :2])[2] < 0.9 * opening[2]  # in the image plane it does


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_lips_through_each_other_are_shut(turn: float) -> None:
    points = face_with_opening(torch.tensor([0.2, -0.2], dtype=torch.float64))
    points[..., 8, 1] = 100.0  # the chin lies below the mouth
    points[..., 27, 1] = -40.0
    assert mouth_opening(points * turn).tolist() == pytest.approx([0.2, 0.0])  # upside down too


def test_pearson_equals_scipy_with_and_without_a_mask() -> None:
    x, y = waves(4, 50, 1), waves(4, 50, 2)
    ours = pearson(x, y)
    for row in range(4):
        assert ours[row].item() == pytest.approx(scipy.stats.pearsonr(x[row], y[row]).statistic, abs=1e-12)
    valid = torch.rand(4, 50, generator=torch.Generator().manual_seed(3)) > 0.3
    masked = pearson(torch.where(valid, x, torch.nan), y, valid=valid)
    for row in range(4):
        expected = scipy.stats.pearsonr(x[row][valid[row]], y[row][valid[row]]).statistic
        assert masked[row].item() == pytest.approx(expected, abs=1e-12)


def test_constant_prediction_scores_zero_constant_target_is_unscored() -> None:
    moving, still = waves(1, 30), torch.full((1, 30), 0.1, dtype=torch.float64)
    assert pearson(still, moving, still=1e-5).item() == 0.0
    assert pearson(still + 1e-8 * moving, moving, still=1e-5).item() == 0.0
    assert torch.isnan(pearson(moving, still, still=1e-5)).item()
    assert torch.isnan(pearson(moving[:, :2], moving[:, :2])).item()


@pytest.mark.parametrize("delay", [-4, -1, 0, 2, 5])
def test_planted_delay_is_found_with_its_sign(delay: int) -> None:
    signal = waves(3, 120, 5)
    target = signal[:, 10:110]
    late = signal[:, 10 - delay : 110 - delay]  # late[t] = target[t - delay]
    curve = lagged_pearson(late, target, max_lag=6)
    lag, value = best_lag(curve)
    assert lag.tolist() == [delay] * 3
    assert torch.allclose(value, torch.ones(3, dtype=torch.float64))
    lags, _ = MouthOpeningLag(max_lag=6).score(face_with_opening(late), face_with_opening(target))
    assert lags.tolist() == [delay] * 3
    best, _ = MouthOpeningCorrelation(max_lag=6).score(face_with_opening(late), face_with_opening(target))
    assert torch.allclose(best, torch.ones(3, dtype=torch.float64))


def test_lagged_pearson_against_scipy_slices() -> None:
    x, y = waves(1, 40, 8), waves(1, 40, 9)
    curve = lagged_pearson(x, y, max_lag=3)[0]
    for place, lag in enumerate(range(-3, 4)):
        first = x[0, max(lag, 0) : 40 + min(lag, 0)]
        second = y[0, max(-lag, 0) : 40 - max(lag, 0)]
        assert curve[place].item() == pytest.approx(scipy.stats.pearsonr(first, second).statistic, abs=1e-12)


def test_lag_of_a_clip_shorter_than_the_search() -> None:
    x = waves(1, 4)
    curve = lagged_pearson(x, x, max_lag=5)
    assert curve.shape == (1, 11)
    assert torch.isfinite(curve).sum() == 3  # only lags -1, 0, 1 leave three frames
    assert best_lag(curve)[0].item() == 0


def test_mean_curve_is_steadier_than_clips() -> None:
    """A clip without signal must not change the lag of the corpus."""
    signal = waves(5, 100, 11)
    target, late = signal[:, 10:90].clone(), signal[:, 8:88].clone()
    late[4] = waves(1, 80, 99)[0]
    metric = MouthOpeningLag(max_lag=5)
    metric.update(face_with_opening(late), face_with_opening(target))
    assert metric.compute().item() == 2
    frozen = MouthOpeningLag(max_lag=5)
    frozen.update(face_with_opening(torch.zeros_like(target)), face_with_opening(target))
    assert torch.isnan(frozen.compute())
    assert int(frozen.unscored) == 5


def test_correlation_is_a_mean_over_clips_not_over_frames() -> None:
    metric = MouthOpeningCorrelation()
    short, long = waves(1, 20, 1), waves(1, 200, 2)
    metric.update(face_with_opening(short), face_with_opening(short))
    metric.update(face_with_opening(-long), face_with_opening(0.5 - long))
    value = metric.compute().item()
    assert value == pytest.approx((1.0 + pearson((-long).abs(), 0.5 - long).item()) / 2)


def test_silent_frames_and_their_margins() -> None:
    samples = torch.zeros(640 * 60)
    generator = torch.Generator().manual_seed(0)
    samples[640 * 20 : 640 * 30] = 0.3 * torch.randn(6400, generator=generator)
    samples += 1e-4 * torch.randn(len(samples), generator=generator)
    silent = silent_frames(samples)
    assert silent.shape == (60,)
    assert silent.tolist() == [not 17 <= frame < 33 for frame in range(60)]  # three frames of margin on each side
    assert silent_frames(torch.zeros(640 * 5)).all()
    assert silent_frames(torch.zeros(100)).shape == (0,)


def test_short_gaps_are_closures_not_silence() -> None:
    samples = 0.3 * torch.randn(640 * 40, generator=torch.Generator().manual_seed(1))
    samples[640 * 20 : 640 * 24] = 0.0
    assert not silent_frames(samples).any()
    samples[640 * 20 : 640 * 30] = 0.0  # ten quiet frames leave four after the margins
    assert silent_frames(samples).nonzero().flatten().tolist() == [23, 24, 25, 26]


def test_lips_in_silence_aim_at_the_real_clips() -> None:
    """A frozen face scores 0, so that less is not better."""
    assert SilentLipMotion().higher_is_better is None
    assert SilentLipMotion().ideal is None
    assert "real clips' value is the aim" in SilentLipMotion.explanation


def test_silent_lip_motion_equals_numpy() -> None:
    opening = waves(2, 30, 4)
    silent = torch.zeros(2, 30, dtype=torch.bool)
    silent[0, 5:15] = True
    silent[1, :4] = True  # fewer than five silent frames
    value = silent_lip_motion(face_with_opening(opening), silent)
    assert value[0].item() == pytest.approx(np.std(np.abs(opening[0, 5:15].numpy())))
    assert torch.isnan(value[1])
    metric = SilentLipMotion()
    metric.update(face_with_opening(opening), silent)
    assert (int(metric.clips), int(metric.unscored)) == (1, 1)
