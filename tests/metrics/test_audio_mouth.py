import pytest
import torch

from expnet.metrics import AudioMouthCorrelation, AudioMouthLag, MouthOpeningCorrelation, MouthOpeningLag


def face_with_opening(opening: torch.Tensor) -> torch.Tensor:
    """Return landmarks (..., T, 68, 2) with the given mouth opening (..., T)."""
    points = torch.zeros(*opening.shape, 68, 2, dtype=torch.float64)
    points[..., 36, 0], points[..., 45, 0] = -45.0, 45.0
    points[..., 66, 1] = opening * 90.0
    return points


def openings(batch: int, frames: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(batch, frames + 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (0.2 + 0.03 * (noise[:, 4:] + noise[:, 3:-1] + noise[:, 2:-2])).clamp_min(0.0)


@pytest.mark.parametrize("max_lag", [0, 4])
def test_the_maths_is_that_of_the_mouth_opening_metrics(max_lag: int) -> None:
    seen, heard = openings(3, 80, 1), openings(3, 80, 2)
    valid = torch.rand(3, 80, generator=torch.Generator().manual_seed(3)) > 0.2
    ours = AudioMouthCorrelation(network="n", max_lag=max_lag)
    ours.update(face_with_opening(seen), 5.0 * heard - 1.0, valid)  # any unit, any offset
    real = MouthOpeningCorrelation(max_lag=max_lag)
    real.update(face_with_opening(seen), face_with_opening(heard), valid)
    assert ours.compute().item() == pytest.approx(real.compute().item(), abs=1e-12)
    lag, real_lag = AudioMouthLag(network="n", max_lag=6), MouthOpeningLag(max_lag=6)
    curve = lag.correlations(face_with_opening(seen), heard, valid)
    assert torch.allclose(curve, real_lag.correlations(face_with_opening(seen), face_with_opening(heard), valid))


@pytest.mark.parametrize("shift", [-4, -2, 0, 2, 4])
def test_a_shifted_sound_track_is_found_with_its_sign(shift: int) -> None:
    signal = openings(3, 140, 5)
    seen = signal[:, 20:120]
    heard = signal[:, 20 + shift : 120 + shift]  # the audio is early by ``shift`` frames, so the mouth is late
    metric = AudioMouthLag(network="n")
    metric.update(face_with_opening(seen), heard)
    assert metric.compute().item() == shift
    exact = AudioMouthCorrelation(network="n")
    exact.update(face_with_opening(seen), heard)
    assert (exact.compute().item() > 0.999) == (shift == 0)


def test_a_frozen_mouth_scores_zero_and_silence_is_unscored() -> None:
    heard = openings(1, 50)
    metric = AudioMouthCorrelation(network="n")
    metric.update(face_with_opening(torch.full((1, 50), 0.1, dtype=torch.float64)), heard)
    assert metric.compute().item() == 0.0
    metric.reset()
    metric.update(face_with_opening(heard), torch.zeros(1, 50))
    assert (int(metric.clips), int(metric.unscored)) == (0, 1)
    lag = AudioMouthLag(network="n")
    lag.update(face_with_opening(torch.zeros(1, 50)), heard)
    assert torch.isnan(lag.compute())


def test_network_and_search_belong_to_the_protocol() -> None:
    assert AudioMouthCorrelation(network="a").protocol != AudioMouthCorrelation(network="b").protocol
    assert AudioMouthLag(network="a").protocol["max_lag"] == 10
    assert AudioMouthCorrelation(network="a").name == "audio_mouth_correlation"
    assert AudioMouthCorrelation(network="a").higher_is_better is None
    with pytest.raises(ValueError, match="one number per frame"):
        AudioMouthCorrelation(network="a").update(torch.zeros(1, 10, 68, 2), torch.zeros(1, 9))
