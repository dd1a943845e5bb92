"""Networks whose scores are known: one that ignores the audio, and one whose mouth follows its level."""

from typing import Any

import numpy as np
import pytest
import torch

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track
from expnet.face.measures import expression_for
from expnet.face.morphable import builtin_face_model
from shared.predicted_lips import PredictedLips
from silence_and_noise import measure_network, tables

FRAMES = 100


def with_opening(opening: float) -> torch.Tensor:
    return expression_for(builtin_face_model(), {"mouth_opening": opening}, relative=False).float()


@pytest.fixture(scope="module")
def track() -> Track:
    """A clip that is loud in every other half second, with a mouth that is open then."""
    loud = (np.arange(FRAMES) // 12) % 2 == 1
    noise = np.random.default_rng(0).standard_normal(FRAMES * SAMPLES_PER_FRAME)
    samples = 0.1 * noise * np.repeat(np.where(loud, 1.0, 0.01), SAMPLES_PER_FRAME)
    expression = torch.stack([with_opening(0.0 if not one else 0.2) for one in loud]).numpy()
    coefficients = FaceCoefficients(
        expression=expression, rotation=np.zeros((FRAMES, 3)), translation=np.zeros((FRAMES, 3)), identity=None
    )
    landmarks, valid = np.zeros((FRAMES, 68, 2), np.float32), np.ones(FRAMES, bool)
    return Track("a", "anna", coefficients, landmarks, valid, samples.astype(np.float32))


def lips_of(network: Any) -> PredictedLips:
    return PredictedLips(network)


def test_a_network_that_ignores_audio_rests_and_agrees_with_nothing(track: Track) -> None:
    scores = measure_network(lips_of(lambda mel, frames, first: first[:, None].expand(-1, frames, -1)), [track])
    for name in ("silence", "white noise -26 dB", "music -26 dB"):
        assert scores[name]["motion"] == 0
        assert scores[name]["closed"] == 1
        assert scores[name]["opening"] == pytest.approx(0, abs=2e-3)
    assert scores["speech"]["r"] == 0


def test_a_network_that_follows_the_level(track: Track) -> None:
    closed, opened = with_opening(0.0), with_opening(0.3)

    def follow(mel: torch.Tensor, frames: int, first: torch.Tensor) -> torch.Tensor:
        columns = (16 + 3.2 * (torch.arange(frames) + 0.5)).long()
        loud = ((mel[0].mean(0)[columns] + 4) / 8)[:, None]  # (T, 1)
        return (closed * (1 - loud) + opened * loud)[None]

    scores = measure_network(lips_of(follow), [track])
    assert scores["speech"]["r"] > 0.9
    assert scores["silence"]["opening"] == pytest.approx(0, abs=1e-3)
    assert scores["silence"]["closed"] == 1
    assert scores["white noise -26 dB"]["closed"] == 0
    assert scores["white noise -26 dB"]["share"] < 0.5
    assert scores["speech in white noise at 20 dB"]["agreement"] > scores["speech in white noise at 0 dB"]["agreement"]
    text = tables({"follow": scores})
    assert "| follow | silence | 0.00 | 0 |" in text
    assert "speech in pink noise at 0 dB" in text
