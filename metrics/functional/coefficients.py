"""Within-clip R2 of expression coefficients, measured where they act: on the face."""

import torch
from torch import Tensor

from expnet.metrics.functional.masking import frame_weights, masked_centre


def within_clip_r2(
    predicted: Tensor, target: Tensor, *, metric: Tensor | None = None, valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Share of the motion inside a clip that the prediction explains.

    .. math::
        R^2 = 1 - \frac{\sum_t d_t^\top M d_t}{\sum_t y_t^\top M y_t}, \qquad
        d_t = (\hat\beta_t - \bar{\hat\beta}) - (\beta_t - \bar\beta), \quad y_t = \beta_t - \bar\beta

    with the bars the means over the clip's valid frames. Removing both means takes away what the first frame already
    gives (who it is, and in which mood), which explains most of the total variance and says nothing about speech.
    M weighs coefficients by what they move on the face: for a linear model with expression basis B of V vertices,
    M = B^T B / V makes both sums squared vertex displacements. M = None is the identity.

    Args:
        predicted: (..., T, E).
        target: (..., T, E).
        metric: (E, E) symmetric positive semi-definite.
        valid: (..., T) boolean.

    Returns:
        R2 (...) and its weight (...), the clip's own motion energy. 1 is perfect, 0 is as good as each clip's true
        mean, below 0 is worse. Averaging clips with these weights gives 1 - (all errors) / (all motion). NaN, weight 0,
        for a clip that does not move.
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
    """Sum over frames of v^T M v, (..., T, E) -> (...)."""
    weighted = values if metric is None else values @ metric.to(values)
    return (values * weighted).sum((-1, -2))
