"""Statistics over the valid frames of a clip, with which all metrics leave out padding and interpolated frames.

Letters: T frames, L landmarks, D coordinates, E expression coefficients; ``...`` stands for any leading dimensions,
usually the clips of a batch. A clip in which nothing can be measured scores NaN and is counted as unscored, not as 0.
"""

import torch
from torch import Tensor


def frame_weights(valid: Tensor | None, like: Tensor) -> Tensor:
    """Return 1.0 for valid frames and 0.0 for the others, float64, in the shape of ``like``.

    Args:
        valid: Boolean mask that broadcasts to ``like``; None means that all frames are valid.
        like: Tensor (..., T) that defines shape and device.

    Raises:
        ValueError: ``valid`` is not boolean.
    """
    if valid is None:
        return torch.ones(like.shape, dtype=torch.float64, device=like.device)
    if valid.dtype is not torch.bool:
        raise ValueError(f"valid must be a boolean mask, got {valid.dtype}")
    return valid.to(like.device).expand(like.shape).double()


def masked_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over the last dimension of the frames with weight; NaN if there is none.

    Frames of weight 0 do not enter the sum, so padding may hold NaN.

    Example:
        >>> float(masked_mean(torch.tensor([1.0, 3.0, torch.nan]), torch.tensor([1.0, 1.0, 0.0])))
        2.0
    """
    kept = torch.where(weights > 0, values, torch.zeros_like(values))
    return (kept * weights).sum(-1) / weights.sum(-1)


def masked_centre(values: Tensor, weights: Tensor) -> Tensor:
    """Subtract each clip's mean over its valid frames; invalid frames become exactly 0.

    Args:
        values: (..., T, E) float64.
        weights: Result of ``frame_weights``, (..., T).

    Returns:
        (..., T, E) float64.
    """
    kept = torch.where(weights.unsqueeze(-1) > 0, values, torch.zeros_like(values))
    mean = kept.sum(-2, keepdim=True) / weights.sum(-1)[..., None, None].clamp(min=1.0)
    return (kept - mean) * weights.unsqueeze(-1)


def masked_std(values: Tensor, weights: Tensor) -> Tensor:
    """Return the population standard deviation over the last dimension, with weights as in ``masked_mean``."""
    mean = masked_mean(values, weights).unsqueeze(-1)
    return masked_mean((values - mean).square(), weights).sqrt()


def consecutive(weights: Tensor, frames: int) -> Tensor:
    """Return 1.0 where ``frames`` successive frames are valid, so that a finite difference can be taken, else 0.0.

    Args:
        weights: Result of ``frame_weights``, (..., T).
        frames: Length of the run: 2 for a velocity, 3 for an acceleration.

    Returns:
        (..., T - frames + 1), empty if the clip is shorter than the run.
    """
    count = max(weights.shape[-1] - frames + 1, 0)
    joined = torch.ones_like(weights[..., :count])
    for shift in range(frames if count else 0):
        joined = joined * weights[..., shift : shift + count]
    return joined
