"""Frechet distance of expression coefficients (E-FID), exact over processes and in any module precision."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from expnet.metrics.functional.frechet import frechet_distance
from expnet.metrics.moments import MomentMetric

DEEP3D = "Deep3DFaceRecon"
"""Name of the face model with which the distance is the E-FID of papers."""


class ExpressionFrechetDistance(MomentMetric):
    """Frechet distance between the expression coefficients of all real and of all generated frames.

    Squared distance in coefficient units, at least 0, lower is better; ``functional.frechet`` has the formula. The
    coefficients themselves are compared, frame by frame, without a network between: what EMO and EchoMimic describe as
    E-FID, with Deep3DFaceRecon's 64 coefficients. With another face model it is another number under another key.

    Args:
        face_model: What the coefficients belong to; ``Deep3DFaceRecon`` makes it the E-FID of papers.
        features: Number of coefficients.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = False
    ideal = 0.0
    unit = "squared coefficients"
    options: ClassVar[tuple[str, ...]] = ("face_model", "features")

    def __init__(self, *, face_model: str, features: int = 64, **kwargs: Any) -> None:
        super().__init__(features, **kwargs)
        self.face_model = face_model
        papers = face_model == DEEP3D
        self.name = "e_fid" if papers else "expression_frechet_distance"
        self.title = "E-FID" if papers else "Expression Fréchet distance"
        self.explanation = (
            f"Distance between the sets of expression coefficients ({face_model}) of all real and all generated "
            "frames. It sees which expressions occur and how often, and neither their order nor the audio: a shuffled "
            "video scores as well. A person's resting face is part of it, so it compares systems on the same people "
            "only. Frames of one clip are almost copies: with a few dozen clips it is biased upwards."
        )

    def update(self, expression: Tensor, real: bool, valid: Tensor | None = None) -> None:
        """Add clips.

        Args:
            expression: Coefficients (..., T, features).
            real: Whether they are of real or generated clips.
            valid: Frames to use, (..., T) boolean; None means all.
        """
        used = torch.ones_like(expression[..., 0], dtype=torch.bool) if valid is None else valid.to(expression.device)
        self.add_features(expression[used], real)

    def compute(self) -> Tensor:
        """Return the distance over all processes, () float64; NaN if a side has fewer than two frames."""
        return frechet_distance(self.moments(True), self.moments(False))
