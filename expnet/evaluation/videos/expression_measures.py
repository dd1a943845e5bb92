"""Expression coefficients of every frame, stored for the distance between the sets of real and generated ones."""

from __future__ import annotations

import numpy as np
import torch

from expnet.data.preprocess.regressed_coefficients import regress_clip
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos.measures import FACE, Measure
from expnet.evaluation.videos.reader import Video
from expnet.metrics import ExpressionFrechetDistance, Extractor
from expnet.metrics.expression_frechet import DEEP3D


def own_expression_measures(face_model: str) -> list[Measure]:
    """The coefficients of the face model that is fitted to every video in any case.

    Args:
        face_model: Name and fingerprint of the face model.
    """
    metric = ExpressionFrechetDistance(face_model=face_model)

    def run(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        expression = torch.from_numpy(np.array(video.face.coefficients.expression)).float()  # (T, 64)
        scores.vectors[metric.name] = expression[video.face.valid]

    return [Measure("Face", (metric,), frozenset({FACE}), run, pooled=True)]


def deep3d_expression_measures(network: Extractor) -> list[Measure]:
    """The coefficients that Deep3DFaceRecon's network regresses from every frame with a face."""
    metric = ExpressionFrechetDistance(face_model=DEEP3D)

    def run(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        frames = (frame.permute(1, 2, 0).numpy() for frame in video.frames)
        valid = video.face.valid
        regressed = regress_clip(network, frames, video.face.landmarks.numpy(), valid.numpy())
        scores.vectors[metric.name] = torch.from_numpy(np.array(regressed.expression)).float()[valid]  # (N, 64)

    return [Measure("Face", (metric,), frozenset({FACE}), run, pooled=True)]
