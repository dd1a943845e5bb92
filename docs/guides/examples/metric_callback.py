"""A metric of one's own, logged over all processes by a callback that works with any LightningModule."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from expnet.callbacks import ClipSample, MetricCallback
from expnet.metrics import ClipMetric, NamedMetric

MOUTH_CORNERS = (48, 54)
"""Landmarks of the mouth corners (iBUG 68)."""


class MouthWidthError(ClipMetric):
    """Mean absolute difference between the predicted and the real width of the mouth, in the unit of the landmarks."""

    name = "mouth_width_error"
    title = "Mouth width error"
    unit = "px"
    higher_is_better = False
    ideal = 0.0
    explanation = "Sees smiles and rounded vowels; does not see whether the lips meet."

    def score(self, predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return a value and a weight for each clip, for landmarks (B, T, 68, D)."""
        right, left = MOUTH_CORNERS
        widths = [(points[..., left, :] - points[..., right, :]).norm(dim=-1) for points in (predicted, target)]
        values = (widths[0] - widths[1]).abs().mean(dim=-1).double()  # (B,)
        return values, values.new_ones(values.shape)


class MouthWidthCallback(MetricCallback):
    """Log ``val/mouth_width_error`` and ``val/mouth_width_error_clips``."""

    measures = (MouthWidthError,)

    def open(self) -> Sequence[NamedMetric]:
        """Make the metrics; weight files would be opened here."""
        return [MouthWidthError()]

    def add(self, sample: ClipSample) -> None:
        """Score one clip."""
        landmarks, target = sample.need("landmarks", "target_landmarks")
        for metric in self.metrics:
            metric.update(landmarks[None], target[None])
