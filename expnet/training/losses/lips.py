"""Losses of the motion of the lips over a window: whether they move together with the real ones, and as far.

The squared error alone makes lips that move too little: where the audio leaves several openings possible, their mean
is predicted. The spread loss widens the motion again; the correlation loss asks for its shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from expnet.face.landmarks import MOUTH
from expnet.metrics.functional import mouth_opening

LEAST_FRAMES = 20
"""Fewest valid frames of a window that is judged: less than a second says little about a spread."""
_STILL = 1e-4
"""Spread, in eye distances, below which lips count as still."""


def opening_correlation_loss(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """One minus the correlation of the mouth opening with the real one, averaged over windows.

    ``1 - sum_t a_t b_t / sqrt(sum_t a_t^2 sum_t b_t^2)`` with the openings a and b less their means over the window.

    Args:
        predicted: (B, T, 68, 3) landmarks.
        target: (B, T, 68, 3) landmarks.
        valid: (B, T) bool; windows with fewer than `LEAST_FRAMES` valid frames do not count.

    Returns:
        A scalar in [0, 2]; 0 if no window counts. Lips that do not move at all, on either side, have a loss of 1.
    """
    weight = valid.to(predicted.dtype)
    openings = (mouth_opening(points)[..., None].to(weight.dtype) for points in (predicted, target))
    one, two = (_centred(opening, weight)[..., 0] for opening in openings)  # (B, T)
    scale = one.square().sum(dim=1).clamp_min(_STILL**2) * two.square().sum(dim=1).clamp_min(_STILL**2)
    return _mean_of_windows(1 - (one * two).sum(dim=1) / scale.sqrt(), valid)


def lip_spread_loss(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Squared logarithm of how far the lips move relative to the real ones, averaged over windows.

    ``log(s / s')^2``, where s is the standard deviation over time of the 20 mouth landmarks, over all coordinates.

    Args:
        predicted: (B, T, 68, 3) landmarks.
        target: (B, T, 68, 3) landmarks.
        valid: (B, T) bool; windows with fewer than `LEAST_FRAMES` valid frames do not count.

    Returns:
        A scalar, at least 0; 0 if no window counts.
    """
    weight = valid.to(predicted.dtype)
    one, two = (_spread(points[:, :, list(MOUTH)].flatten(2), weight) for points in (predicted, target))  # (B,)
    # A twentieth of the real motion is as wrong as none, whose logarithm has no gradient to speak of.
    return _mean_of_windows((one / two).clamp_min(0.05).log().square(), valid)


def _spread(values: Tensor, weight: Tensor) -> Tensor:
    """Root of the variance over time, summed over the coordinates of values (B, T, N): (B,)."""
    squared = _centred(values, weight).square().sum(dim=(1, 2))
    return (squared / weight.sum(dim=1).clamp_min(1.0)).clamp_min(_STILL**2).sqrt()


def _centred(values: Tensor, weight: Tensor) -> Tensor:
    """Values (B, T, N) less their mean over the frames of weight 1 (B, T), 0 elsewhere."""
    weight = weight[..., None]
    mean = (values * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp_min(1.0)
    return (values - mean) * weight


def _mean_of_windows(loss: Tensor, valid: Tensor) -> Tensor:
    """Mean of a loss (B,) over the windows with enough valid frames (B, T); 0 if there is none."""
    counted = (valid.sum(dim=1) >= LEAST_FRAMES).to(loss.dtype)  # (B,)
    mean: Tensor = (torch.where(counted > 0, loss, 0.0) * counted).sum() / counted.sum().clamp_min(1.0)
    return mean
