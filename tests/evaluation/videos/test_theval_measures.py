"""THEval's metrics in the benchmark of videos: what they need, and what is said where Silero's package is missing."""

import sys

import numpy as np
import pytest
import torch

from expnet.audio.voice_activity import VoiceActivityDetector
from expnet.coefficients import FaceCoefficients
from expnet.config.benchmark import VideoBenchmarkConfig
from expnet.errors import MissingAssetError
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos.reader import Face, Source, Video
from expnet.evaluation.videos.scoring_setup import open_scoring_setup
from expnet.evaluation.videos.theval_measures import theval_motion_measures
from expnet.metrics.functional.theval import brow_dynamics, lip_dynamics

KEYS = ["theval_lip_dynamics", "theval_brow_dynamics", "theval_silent_lip_stability", "theval_lip_sync"]


def test_the_mesh_is_scored_in_shares_of_the_frame() -> None:
    height, width, frames = 90, 160, 12
    shares = torch.rand(frames, 478, 2, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(frames, dtype=torch.bool)
    still = FaceCoefficients(np.zeros((frames, 64)), np.zeros((frames, 3)), np.zeros((frames, 3)))
    face = Face(
        torch.zeros(frames, 68, 2), valid, torch.zeros(frames, 68, 3), still, shares * torch.tensor([width, height])
    )
    images = torch.zeros(frames, 3, height, width, dtype=torch.uint8)
    video = Video(images, None, face, Source(width, height, 25.0, "h264", frames))
    (measure,) = theval_motion_measures()
    scores = Scores()
    measure.run(scores, video, None)
    assert scores.values["theval_lip_dynamics"] == pytest.approx(lip_dynamics(shares).item(), rel=1e-5)
    expected = brow_dynamics(shares, torch.tensor(width / height)).item()
    assert scores.values["theval_brow_dynamics"] == pytest.approx(expected, rel=1e-5)
    assert len(face.first(5).mesh) == 5


def test_without_silero_two_metrics_are_left_out_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    setup = open_scoring_setup(VideoBenchmarkConfig(systems={"a": "b"}, metrics=KEYS), torch.device("cpu"))
    assert [info.key for info in setup.infos()] == KEYS[:2]
    assert any("pip install 'expnet[vad]'" in note for note in setup.notes)
    with pytest.raises(MissingAssetError, match="vad"):
        open_scoring_setup(VideoBenchmarkConfig(systems={"a": "b"}, metrics=KEYS, strict=True), torch.device("cpu"))


def test_silero_finds_no_speech_in_noise_and_leaves_the_threads_alone() -> None:
    pytest.importorskip("silero_vad")
    threads = torch.get_num_threads()
    detector = VoiceActivityDetector()
    assert torch.get_num_threads() == threads
    assert detector.name.startswith("silero-vad ")
    noise = torch.randn(16000, generator=torch.Generator().manual_seed(0)) * 0.01
    assert detector(noise) == []
