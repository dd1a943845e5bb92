"""Amount of motion by region, measure and frequency: NumPy and SciPy versions, cases by hand, identities."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import welch

from expnet.metrics import MotionAmountRatio, MotionBandRatio
from expnet.metrics.functional import (
    band_energy,
    band_energy_ratio,
    motion_amount_ratio,
    motion_deviation,
    motion_speed,
)
from expnet.metrics.functional.motion_amount import BANDS


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_deviation_and_speed_equal_numpy_and_a_case_by_hand() -> None:
    points = draw(2, 40, 5, 3)
    for clip in range(2):
        tracks = points[clip].numpy()
        deviation = np.sqrt(((tracks - tracks.mean(0)) ** 2).sum(-1).mean())
        speed = np.sqrt((np.diff(tracks, axis=0) ** 2).sum(-1).mean())
        assert motion_deviation(points)[clip].item() == pytest.approx(deviation)
        assert motion_speed(points)[clip].item() == pytest.approx(speed)
    swing = torch.tensor([0.0, 2.0, 0.0, 2.0]).reshape(4, 1, 1)
    assert motion_deviation(swing).item() == 1.0
    assert motion_speed(swing).item() == 2.0


def test_invalid_frames_do_not_count_and_steps_do_not_cross_them() -> None:
    points = draw(40, 5, 3)
    valid = torch.ones(40, dtype=torch.bool)
    valid[20] = False
    lost = points.clone()
    lost[20] = torch.nan
    kept = points[valid].numpy()
    assert motion_deviation(lost, valid=valid).item() == pytest.approx(
        np.sqrt(((kept - kept.mean(0)) ** 2).sum(-1).mean())
    )
    steps = [(points[t + 1] - points[t]).square().sum(-1).mean() for t in range(39) if t not in (19, 20)]
    assert motion_speed(lost, valid=valid).item() == pytest.approx(float(torch.stack(steps).mean().sqrt()))
    assert motion_speed(points, valid=torch.arange(40) % 2 == 0).isnan()


@pytest.mark.parametrize("band", list(BANDS))
def test_band_energy_equals_scipys_welch(band: str) -> None:
    points = draw(130, 2, 3)
    low, high = BANDS[band]
    frequency, density = welch(
        points.numpy(), fs=25.0, window="hann", nperseg=50, noverlap=25, axis=0, detrend="constant", scaling="density"
    )
    chosen = (frequency >= low) & ((frequency < high) | (high == 12.5))
    expected = (density[chosen].sum(0) * 0.5).sum(-1).mean()  # bins of 0.5 Hz; summed over axes, mean over points
    assert band_energy(points, BANDS[band]).item() == pytest.approx(expected, rel=1e-9)


def test_a_sine_lies_in_its_band_with_half_its_squared_amplitude() -> None:
    time = torch.arange(100, dtype=torch.float64) / 25
    wave = (3 * torch.sin(2 * math.pi * 3.0 * time)).reshape(100, 1, 1)
    assert band_energy(wave, BANDS["syllable"]).item() == pytest.approx(4.5, rel=1e-9)
    assert band_energy(wave, BANDS["fast"]).item() == pytest.approx(0, abs=1e-9)
    every = sum(band_energy(draw(5000, 1, 1), band).item() for band in [(0.5, 2.0), (2.0, 5.0), (5.0, 12.5)])
    assert every == pytest.approx(1.0, abs=0.08)  # white noise; the lowest bins are lost with the mean
    assert band_energy(wave[:49], BANDS["fast"]).isnan()


def test_segments_with_an_invalid_frame_are_left_out() -> None:
    points = draw(100, 2, 3)
    valid = torch.ones(100, dtype=torch.bool)
    valid[10] = False
    lost = points.clone()
    lost[10] = torch.nan
    expected = torch.stack([band_energy(points[s : s + 50], BANDS["slow"]) for s in (25, 50)]).mean()
    assert band_energy(lost, BANDS["slow"], valid=valid).item() == pytest.approx(expected.item())
    valid[60] = False
    assert band_energy(lost, BANDS["slow"], valid=valid).isnan()


@pytest.mark.parametrize(("measure", "expected"), [("deviation", 0.5), ("speed", 0.5), ("jitter", 0.25)])
def test_ratio_identities(measure: str, expected: float) -> None:
    real = draw(3, 60, 4, 3)
    metric = MotionAmountRatio("lips", measure=measure)
    metric.update(real + 5, real)  # a constant offset is no motion
    assert metric.compute().item() == pytest.approx(1.0)
    metric.reset()
    metric.update(0.5 * real, real)
    assert metric.compute().item() == pytest.approx(expected)
    assert metric.name == f"lips_{measure}_ratio"


def test_ratios_are_of_sums_and_still_clips_unscored() -> None:
    real = draw(2, 60, 4, 3)
    real[1] *= 1e-3
    predicted = real * torch.tensor([0.5, 30.0]).reshape(2, 1, 1, 1)
    metric = MotionAmountRatio("jaw")
    metric.update(predicted, real)
    expected = motion_deviation(predicted).sum() / motion_deviation(real).sum()
    assert metric.compute().item() == pytest.approx(expected.item())
    metric.update(real[:1], torch.zeros(1, 60, 4, 3))
    assert (int(metric.clips), int(metric.unscored)) == (2, 1)
    band = MotionBandRatio("jaw", band="slow")
    band.update(2 * real, real)
    assert band.compute().item() == pytest.approx(4.0)
    with pytest.raises(ValueError, match="measure"):
        motion_amount_ratio(real, real, measure="charm")
    with pytest.raises(ValueError, match="measure"):
        MotionAmountRatio("jaw", measure="charm")
    with pytest.raises(ValueError, match="band"):
        band_energy_ratio(real, real, band="ultraviolet")
    with pytest.raises(ValueError, match="band"):
        MotionBandRatio("jaw", band="ultraviolet")
