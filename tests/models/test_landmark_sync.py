"""The sync expert: lags against a slow loop, what its features must not depend on, and its file."""

import pytest
import torch

from expnet.audio.alignment import mel_columns
from expnet.errors import InputError
from expnet.export.model_folder import export_model
from expnet.models.landmark_sync import MAX_LAG, POINTS, LandmarkSync, lag_similarities, local_mean
from expnet.models.saved_model import load_model, save_model


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def expert() -> LandmarkSync:
    torch.manual_seed(0)
    return LandmarkSync(width=16, audio_channels=8).eval()


def test_lags_are_those_of_a_slow_loop() -> None:
    lips, audio = draw(2, 40, 3, seed=1), draw(2, 40, 3, seed=2)
    valid = draw(2, 40, seed=3) > -0.5
    curve = lag_similarities(lips, audio, valid)
    for clip in range(2):
        for lag in range(-MAX_LAG, MAX_LAG + 1):
            products = [
                float(lips[clip, t + lag] @ audio[clip, t])
                for t in range(40)
                if 0 <= t + lag < 40 and valid[clip, t + lag]
            ]
            assert float(curve[clip, lag + MAX_LAG]) == pytest.approx(sum(products) / len(products), abs=1e-5)


@pytest.mark.parametrize("lag", [-7, 0, 4])
def test_early_audio_peaks_at_a_positive_lag(lag: int) -> None:
    series = torch.nn.functional.normalize(draw(1, 120, 8), dim=-1)
    lips, audio = (
        series[:, 20:100],
        series[:, 20 + lag : 100 + lag],
    )  # the audio of frame t belongs to the lips of frame t + lag
    curve = lag_similarities(lips, audio)[0]
    assert int(curve.argmax()) - MAX_LAG == lag
    assert float(curve.max()) == pytest.approx(1.0)


def test_the_local_mean_counts_valid_frames_only() -> None:
    points, valid = draw(1, 60, 2), torch.ones(1, 60, dtype=torch.bool)
    valid[0, 10:30] = False
    spoiled = torch.where(valid[..., None], points, torch.full_like(points, 1e3))
    mean = local_mean(spoiled, valid)
    for frame in (0, 25, 59):
        near = [t for t in range(max(frame - 16, 0), min(frame + 17, 60)) if valid[0, t]]
        assert torch.allclose(mean[0, frame], points[0, near].mean(dim=0), atol=1e-4)


def test_identity_eyes_and_brows_do_not_change_the_features(expert: LandmarkSync) -> None:
    landmarks = draw(2, 50, 68, 3)
    other = landmarks + draw(2, 1, 68, 3, seed=5)  # another face shape
    silent = [point for point in range(68) if point not in POINTS]
    other[:, :, silent] += draw(2, 50, len(silent), 3, seed=6)  # eyes and brows
    assert torch.allclose(expert.encode_lips(landmarks), expert.encode_lips(other), atol=1e-5)
    moved = landmarks + 0.5 * draw(2, 50, 68, 3, seed=7)
    assert not torch.allclose(expert.encode_lips(landmarks), expert.encode_lips(moved), atol=1e-2)


def test_shapes_size_and_short_clips(expert: LandmarkSync) -> None:
    mel = draw(2, 80, mel_columns(50)).clamp(-4, 4)
    curve = expert(draw(2, 50, 68, 3), mel)
    assert curve.shape == (2, 31)
    assert curve.abs().max() <= 1
    assert sum(value.numel() for value in LandmarkSync().parameters()) < 250_000
    with pytest.raises(InputError, match="more than 15 frames"):
        expert(draw(1, 15, 68, 3), draw(1, 80, mel_columns(15)))
    with pytest.raises(InputError, match="the same length"):
        expert(draw(1, 40, 68, 3), draw(1, 80, mel_columns(45)))


def test_lips_are_disturbed_in_training_only(expert: LandmarkSync) -> None:
    landmarks = draw(1, 40, 68, 3)
    quiet = [expert.encode_lips(landmarks) for _ in range(2)]
    loud = [expert.train().encode_lips(landmarks) for _ in range(2)]
    assert torch.equal(*quiet)
    assert not torch.equal(*loud)


def test_it_is_saved_and_loaded(expert: LandmarkSync, tmp_path) -> None:
    expert.set_statistics(mel_std=torch.full((80,), 2.0), lip_scale=torch.tensor(0.02))
    loaded = load_model(save_model(tmp_path / "expert.safetensors", expert), "landmark_sync")
    landmarks, mel = 0.02 * draw(1, 40, 68, 3), draw(1, 80, mel_columns(40))
    assert torch.equal(loaded(landmarks, mel), expert(landmarks, mel))
    with pytest.raises(InputError, match="is not exported"):
        export_model(tmp_path / "expert.safetensors", tmp_path / "exported")
