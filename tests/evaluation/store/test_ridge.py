import numpy as np
import pytest
import torch

from expnet.audio.alignment import mel_columns
from expnet.evaluation.store.ridge import BANDS, CONTEXT, feature_inputs, fit_ridge, frames_around, ridge_features


def examples(count: int, seed: int, weights: torch.Tensor, noise: float = 0.0) -> list[tuple[torch.Tensor, ...]]:
    """Clips whose expression is an exact linear function of the features."""
    generator = torch.Generator().manual_seed(seed)
    clips = []
    for index in range(count):
        frames = 40 + index
        mel = torch.randn(80, mel_columns(frames), generator=generator)
        expression = (ridge_features(mel, frames) @ weights).float() + 3.0  # every clip has the same offset
        expression = expression + noise * torch.randn(expression.shape, generator=generator)
        clips.append((mel, expression, torch.ones(frames, dtype=torch.bool)))
    return clips


@pytest.fixture(scope="module")
def weights() -> torch.Tensor:
    generator = torch.Generator().manual_seed(9)
    return torch.randn((2 * CONTEXT + 1) * BANDS, 4, generator=generator, dtype=torch.float64)


def test_features_are_centred_on_their_frame() -> None:
    mel = torch.zeros(80, mel_columns(30))
    mel[:, 16 + round(3.2 * 10.5)] = 1.0  # the middle of frame 10
    features = ridge_features(mel, 30).reshape(30, 2 * CONTEXT + 1, BANDS)
    assert features[10, CONTEXT].mean() == pytest.approx(0.25)
    assert features[10, CONTEXT + 1].abs().max() == 0
    assert features[12, CONTEXT - 2].mean() == pytest.approx(0.25)  # two frames later it lies two frames back


def test_recovers_a_linear_world_on_new_clips(weights: torch.Tensor) -> None:
    regression = fit_ridge(examples(40, 0, weights), examples(5, 1, weights))
    assert regression.clips == 40
    mel, expression, _ = examples(1, 2, weights)[0]
    predicted = regression.predict(mel, expression[0], len(expression))
    assert torch.equal(predicted[0], expression[0])  # starts at the first frame
    error = (predicted - expression).square().mean() / (expression - expression.mean(0)).square().mean()
    assert error < 0.01


def test_equals_the_textbook_solution(weights: torch.Tensor) -> None:
    clips = examples(3, 3, weights, noise=1.0)
    regression = fit_ridge(clips, [])
    x = torch.cat([(f := ridge_features(mel, len(y))) - f.mean(0) for mel, y, _ in clips]).numpy()
    y = torch.cat([y.double() - y.double().mean(0) for _, y, _ in clips]).numpy()
    covariance = x.T @ x / len(x)
    penalty = regression.penalty * np.trace(covariance) / len(covariance)
    direct = np.linalg.solve(covariance + penalty * np.eye(len(covariance)), x.T @ y / len(x))
    assert np.allclose(regression.weights.numpy(), direct, atol=1e-8)


def test_noise_asks_for_a_larger_penalty(weights: torch.Tensor) -> None:
    clean = fit_ridge(examples(10, 4, weights), examples(5, 5, weights))
    noisy = fit_ridge(examples(10, 4, weights, noise=60.0), examples(5, 5, weights, noise=60.0))
    assert noisy.penalty > clean.penalty


def test_invalid_frames_are_not_learned_and_no_clip_is_an_error(weights: torch.Tensor) -> None:
    clips = examples(6, 6, weights)
    spoilt = []
    for mel, expression, valid in clips:
        expression, valid = expression.clone(), valid.clone()
        expression[10:15], valid[10:15] = 1e6, False
        spoilt.append((mel, expression, valid))
    assert fit_ridge(spoilt, []).weights.abs().max() < 100
    with pytest.raises(ValueError, match="at least one training clip"):
        fit_ridge([], [])


def test_frames_around_repeat_the_ends() -> None:
    values = torch.arange(8.0).reshape(4, 2)
    around = frames_around(values, 4, context=1).reshape(4, 3, 2)
    assert around[0].tolist() == [[0, 1], [0, 1], [2, 3]]
    assert around[2].tolist() == [[2, 3], [4, 5], [6, 7]]
    assert around[3].tolist() == [[4, 5], [6, 7], [6, 7]]


@pytest.mark.parametrize("context", [0, 1])
def test_speech_features_take_the_place_of_the_mel(context: int) -> None:
    """The face follows the features of the next frame, so a frame alone tells little and its neighbours everything."""
    generator = torch.Generator().manual_seed(7)
    weights = torch.randn(6, 4, generator=generator)
    clips = []
    for frames in (50, 60, 70):
        features = torch.randn(frames, 6, generator=generator)
        expression = features.roll(-1, dims=0) @ weights + 3.0
        clips.append((features, expression, torch.arange(frames) < frames - 1))
    regression = fit_ridge(clips[:2], clips[2:], inputs=feature_inputs(context))
    features, expression, valid = clips[2]
    moved = (regression.predict(features, expression[0], 70) - expression)[valid]
    error = (moved - moved.mean(0)).square().mean() / expression[valid].var(0).mean()
    assert len(regression.weights) == 6 * (2 * context + 1)
    assert error < 0.01 if context else error > 0.7
