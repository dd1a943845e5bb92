"""Within-clip R2 of the expression coefficients."""

from typing import Any

from torch import Tensor

from expnet.metrics.base import ClipMetric
from expnet.metrics.functional.coefficients import within_clip_r2


class WithinClipR2(ClipMetric):
    """Share of the motion inside the clips that is explained: 1 - (all errors) / (all motion).

    Args:
        metric: (E, E) matrix that says what coefficients move on the face, for a linear model basis^T basis / V; None
            for the identity. It follows the metric to a device, and is never part of a checkpoint.
        metric_name: how the protocol calls that matrix.
        **kwargs: for ``torchmetrics.Metric``.

    ``update`` takes coefficients ``predicted`` and ``target`` (B, T, E) and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = True
    ideal = 1.0
    name = "within_clip_r2"
    title = "Within-clip R²"
    unit = "share"
    explanation = (
        "Share of the face's motion inside a clip that is explained, after each clip's mean is removed from both sides "
        "and every coefficient weighted by what it moves on the face. 0 is as good as knowing each clip's mean; "
        "negative is worse than not moving. Smiles and brows count too, which speech hardly predicts: values of .1 to "
        ".2 are normal."
    )
    options = ("metric_name",)

    def __init__(self, *, metric: Tensor | None = None, metric_name: str = "identity", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metric_name = metric_name if metric is not None else "identity"
        self.register_buffer("metric", None if metric is None else metric.double(), persistent=False)
        self.metric: Tensor | None

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's R2 (B,) and its motion energy as weight."""
        return within_clip_r2(predicted, target, metric=self.metric, valid=valid)
