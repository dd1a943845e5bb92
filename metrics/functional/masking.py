"""Statistics over the valid frames of a clip: every metric here leaves padding and interpolated frames out.

Letters: T frames, L landmarks, D coordinates, E expression coefficients; ``...`` any leading dimensions (usually
the clips of a batch). A clip in which nothing can be measured scores NaN, and is counted as unscored, never as 0.
"""

import torch
from torch import Tensor


def frame_weights(valid: Tensor | None, like: Tensor) -> Tensor:
    """Return 1.0 for frames that count and 0.0 for the rest, float64, in the shape of ``like``.

    Args:
        valid: boolean mask that broadcasts to ``like``; None when every frame counts.
        like: tensor of shape (..., T) that gives shape and device.
    """
    if valid is None:
        return torch.ones(like.shape, dtype=torch.float64, device=like.device)
    if valid.dtype is not torch.bool:
        raise ValueError(f"valid must be a boolean mask, got {valid.dtype}")
    return valid.to(like.device).expand(like.shape).double()


def masked_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over the last dimension of the frames whose weight is 1; NaN where there is none.

    A frame of weight 0 never reaches the sum, so that padding may hold NaN.
    """
    kept = torch.where(weights > 0, values, torch.zeros_like(values))
    return (kept * weights).sum(-1) / weights.sum(-1)


def masked_centre(values: Tensor, weights: Tensor) -> Tensor:
    """Subtract each clip's mean over its valid frames; invalid frames become exactly 0.

    Args:
        values: (..., T, E) float64.
        weights: (..., T) from ``frame_weights``.

    Returns:
        (..., T, E).
    """
    kept = torch.where(weights.unsqueeze(-1) > 0, values, torch.zeros_like(values))
    mean = kept.sum(-2, keepdim=True) / weights.sum(-1)[..., None, None].clamp(min=1.0)
    return (kept - mean) * weights.unsqueeze(-1)


def masked_std(values: Tensor, weights: Tensor) -> Tensor:
    """Population standard deviation over the last dimension (weights as in ``masked_mean``)."""
    mean = masked_mean(values, weights).unsqueeze(-1)
    return masked_mean((values - mean).square(), weights).sqrt()


def consecutive(weights: Tensor, frames: int) -> Tensor:
    """Weight 1.0 where ``frames`` frames in a row are valid: the places where a difference may be taken.

    Args:
        weights: (..., T).
        frames: length of the run, 2 for a velocity and 3 for an acceleration.

    Returns:
        (..., T - frames + 1), empty when the clip is shorter than the run.
    """
    count = max(weights.shape[-1] - frames + 1, 0)
    joined = torch.ones_like(weights[..., :count])
    for shift in range(frames if count else 0):
        joined = joined * weights[..., shift : shift + count]
    return joined
