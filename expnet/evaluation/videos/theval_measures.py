"""THEval's metrics of the face mesh and of the speech; expnet.metrics.functional.theval has their source."""

from __future__ import annotations

import torch
from torch import Tensor

from expnet.audio.voice_activity import VoiceActivityDetector
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos.measures import AUDIO, FACE, Measure
from expnet.evaluation.videos.reader import Video
from expnet.metrics import (
    ClosenessScore,
    ThevalBrowDynamics,
    ThevalLipDynamics,
    ThevalLipSync,
    ThevalSilentLipStability,
)
from expnet.metrics.functional.theval import frame_loudness, pauses, speech_frames

SPEECH_KEYS = ("theval_silent_lip_stability", "theval_lip_sync")


def theval_motion_measures() -> list[Measure]:
    """How much do lips and brows move?"""
    lips, brows = ThevalLipDynamics(), ThevalBrowDynamics()

    def run(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        height, width = video.size
        points = _shares(video)
        scores.add(lips, points, video.face.valid)
        scores.add(brows, points, torch.tensor(width / height, dtype=torch.float64), video.face.valid)

    return [Measure("THEval", (lips, brows), frozenset({FACE}), run)]


def theval_speech_measures(detector: VoiceActivityDetector) -> list[Measure]:
    """Do the lips rest in pauses, and open with the loudness of the speech?"""
    silence = ThevalSilentLipStability(speech_detector=detector.name)
    sync = ThevalLipSync(speech_detector=detector.name)

    def run(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        assert video.audio is not None
        speech = speech_frames(detector(video.audio), len(video))
        points = _shares(video)
        scores.add(silence, points, pauses(speech), video.face.valid)
        scores.add(sync, points, frame_loudness(video.audio, len(video)), speech, video.face.valid)

    return [Measure("THEval", (silence, sync), frozenset({FACE, AUDIO}), run)]


def closeness_measures() -> list[Measure]:
    """One score from other columns of the table; it is computed from the rows, so nothing is done for a video."""
    return [Measure("THEval", (ClosenessScore(),), frozenset(), lambda *_: None, pooled=True)]


def _shares(video: Video) -> Tensor:
    """Return the points of the face mesh in shares of the frame, (T, 478, 2)."""
    assert video.face is not None
    height, width = video.size
    return video.face.mesh.double() / torch.tensor([width, height], dtype=torch.float64)
