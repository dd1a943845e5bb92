"""A metric: how well the width of the mouth is predicted."""

from __future__ import annotations

from torch import Tensor

from expnet.metrics import ClipMetric


class MouthWidthError(ClipMetric):
    """Mean absolute difference between the predicted and the real width of the mouth, in face units."""

    name = "mouth_width_error"
    title = "Mouth width error"
    unit = "face units"
    higher_is_better = False
    ideal = 0.0
    explanation = "Sees smiles and rounded vowels; does not see whether the lips meet."

    def score(self, predicted: Tensor, target: Tensor, *, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return a value and a weight for each clip, for landmarks (B, T, 68, 3) and valid (B, T) bool."""
        widths = [(points[..., 54, :] - points[..., 48, :]).norm(dim=-1) for points in (predicted, target)]
        weight = valid.sum(dim=1).double()  # (B,)
        return ((widths[0] - widths[1]).abs() * valid).sum(dim=1).double() / weight, weight
