"""Within-clip R2 of expression coefficients, weighted by the vertex displacements that they cause."""

import torch
from torch import Tensor

from expnet.metrics.functional.masking import frame_weights, masked_centre


def within_clip_r2(
    predicted: Tensor, target: Tensor, *, metric: Tensor | None = None, valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return the share of the motion within each clip that the prediction explains.

    .. math::
        R^2 = 1 - \frac{\sum_t d_t^\top M d_t}{\sum_t y_t^\top M y_t}, \qquad
        d_t = (\hat\beta_t - \bar{\hat\beta}) - (\beta_t - \bar\beta), \quad y_t = \beta_t - \bar\beta

    where the bars are means over the clip's valid frames. Both means are removed because they hold what the first
    frame already shows, identity and mood, which is most of the total variance and unrelated to speech. M weights
    coefficients by the motion that they cause: for a linear model with expression basis B of V vertices,
    M = B^T B / V makes both sums mean squared vertex displacements. None stands for the identity.

    Args:
        predicted: Predicted coefficients, (..., T, E).
        target: Real coefficients, (..., T, E).
        metric: M, (E, E), symmetric and positive semi-definite.
        valid: Frames to use, (..., T) boolean.

    Returns:
        R2, (...) float64, at most 1, and its weight, (...), the clip's motion energy. 1 is perfect, 0 is as good as the
        clip's true mean, and less is worse. The mean over clips with these weights is 1 - (all errors) / (all motion).
        A clip without motion gives NaN and weight 0.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> target = torch.tensor([[0.0], [2.0], [4.0]])
        >>> r2, weight = within_clip_r2(0.5 * target + 7.0, target)  # half the motion, around another mean
        >>> float(r2), float(weight)
        (0.75, 8.0)
    """
    if predicted.shape != target.shape:
        raise ValueError(f"coefficients differ in shape: {tuple(predicted.shape)} and {tuple(target.shape)}")
    size = target.shape[-1]
    if metric is not None and metric.shape != (size, size):
        raise ValueError(f"metric must be ({size}, {size}) for {size} coefficients, got {tuple(metric.shape)}")
    weights = frame_weights(valid, target[..., 0])
    motion = masked_centre(target.double(), weights)  # (..., T, E)
    error = masked_centre(predicted.double(), weights) - motion
    total = _energy(motion, metric)
    r2 = 1.0 - _energy(error, metric) / total
    still = ~(total > 0)
    return r2.masked_fill(still, torch.nan), total.masked_fill(still, 0.0)


def _energy(values: Tensor, metric: Tensor | None) -> Tensor:
    """Return the sum over frames of v^T M v, (..., T, E) -> (...)."""
    weighted = values if metric is None else values @ metric.to(values)
    return (values * weighted).sum((-1, -2))
