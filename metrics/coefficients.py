"""Within-clip R2 of the expression coefficients."""

from typing import Any

from torch import Tensor

from expnet.metrics.base import ClipMetric
from expnet.metrics.functional.coefficients import within_clip_r2


class WithinClipR2(ClipMetric):
    """Share of the motion within clips that the prediction explains: 1 - (all errors) / (all motion).

    A share of at most 1, higher is better; ``functional.within_clip_r2`` has the formula.

    Args:
        metric: Weights (E, E) of the coefficients by the motion that they cause, for a linear model
            basis^T basis / V; None for the identity. The matrix follows the metric to a device and never enters a
            checkpoint.
        metric_name: Name of that matrix in the protocol.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes coefficients ``predicted`` and ``target`` (B, T, E) and ``valid`` (B, T) boolean or None.

    Example:
        >>> import torch
        >>> metric = WithinClipR2()
        >>> target = torch.tensor([[[0.0], [2.0], [4.0]]])
        >>> metric.update(0.5 * target + 7.0, target)  # half the motion, around another mean
        >>> float(metric.compute())
        0.75
    """

    higher_is_better = True
    ideal = 1.0
    name = "within_clip_r2"
    title = "Within-clip R²"
    unit = "share"
    explanation = (
        "Share of the facial motion within a clip that is explained, after removing each clip's mean on both sides and "
        "weighting coefficients by the motion that they cause. 0 is as good as the clip's true mean; negative values "
        "are worse than not moving. Smiles and brows also count, which speech hardly predicts, so values of .1 to .2 "
        "are normal."
    )
    options = ("metric_name",)

    def __init__(self, *, metric: Tensor | None = None, metric_name: str = "identity", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metric_name = metric_name if metric is not None else "identity"
        self.register_buffer("metric", None if metric is None else metric.double(), persistent=False)
        self.metric: Tensor | None

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's R2 (B,), and its motion energy as weight."""
        return within_clip_r2(predicted, target, metric=self.metric, valid=valid)
