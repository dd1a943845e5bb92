"""The objective of flow matching: the squared error of the velocity between noise and data."""

from __future__ import annotations

import torch
from torch import Tensor


def on_the_path(noise: Tensor, data: Tensor, time: Tensor) -> Tensor:
    """Return the points ``(1 - t) noise + t data`` (B, T, M) at times (B,)."""
    time = time[:, None, None]
    return (1 - time) * noise + time * data


def flow_matching_loss(velocity: Tensor, noise: Tensor, data: Tensor, weights: Tensor, counted: Tensor) -> Tensor:
    """Mean squared error of the velocity (Lipman et al., arXiv 2210.02747), about 2 for a velocity of zero.

    ``mean over counted frames and columns of w_m (v - (x_1 - x_0))^2``.

    Args:
        velocity: (B, T, M) predicted.
        noise: (B, T, M), x_0.
        data: (B, T, M), x_1.
        weights: (M,) with mean 1.
        counted: (B, T) bool; without any, the loss is 0.
    """
    error = ((velocity - (data - noise)).square() * weights).mean(dim=-1)  # (B, T)
    return (error * counted).sum() / counted.sum().clamp_min(1)


def metric_weights(metric: Tensor, std: Tensor, *, power: float) -> Tensor:
    """Return weights of whitened coefficients by how far each moves the face: ``(G_ee std_e^2)^power`` over its mean.

    Args:
        metric: (E, E), see `expnet.face.morphable.MorphableModel.expression_metric`.
        std: (E,) unit of the whitened coefficients.
        power: 0 weighs all alike, 1 by the squared distance that the vertices move.

    Returns:
        (E,) with mean 1.
    """
    moved = (metric.diagonal().clamp_min(0) * std.square()).clamp_min(1e-20) ** power
    return moved / moved.mean()


def flow_times(count: int, device: torch.device) -> Tensor:
    """Draw times (count,) in (0, 1) from the logit-normal distribution, dense in the middle (arXiv 2403.03206)."""
    return torch.sigmoid(torch.randn(count, device=device))
