"""Losses of expression coefficients, and how a window's constant error and amount of motion enter them."""

from __future__ import annotations

import torch
from torch import Tensor

from expnet.training.losses.masking import both_valid, masked_mean


def coefficient_loss(predicted: Tensor, target: Tensor, metric: Tensor, valid: Tensor | None = None) -> Tensor:
    """Squared coefficient error, weighted by how far each coefficient moves the face.

    ``mean over frames of d^T G d`` with ``d = predicted - target``. With ``G = basis^T basis / V``
    (`expnet.face.morphable.MorphableModel.expression_metric`) this is the mean squared distance of the vertices, in
    squared face units: components that move little count little, which a plain mean squared error gets wrong.

    Args:
        predicted: (B, T, E).
        target: (B, T, E).
        metric: (E, E), positive semi-definite; the identity gives the plain sum of squares.
        valid: (B, T) bool.
    """
    error = predicted - target
    return masked_mean(torch.einsum("bte,ef,btf->bt", error, metric, error), valid)


def velocity_loss(predicted: Tensor, target: Tensor, metric: Tensor, valid: Tensor | None = None) -> Tensor:
    """Squared error of the change from frame to frame, weighted as in `coefficient_loss`.

    Args:
        predicted: (B, T, E), T at least 2.
        target: (B, T, E).
        metric: (E, E).
        valid: (B, T) bool; both frames of a pair must be valid.
    """
    return coefficient_loss(predicted.diff(dim=1), target.diff(dim=1), metric, both_valid(valid))


def discount_offset(predicted: Tensor, target: Tensor, valid: Tensor | None = None, *, weight: float) -> Tensor:
    """Shift a prediction so that the part of its error that is constant over a window counts ``weight`` times.

    The constant part comes from the person's identity and mood, about which speech says little. In tracked clips it is
    three times as large as the motion and would dominate it. The squared error of the result is the squared error of
    the motion plus ``weight`` times that of the window's mean.

    Args:
        predicted: (B, T, ...).
        target: (B, T, ...).
        valid: (B, T) bool; the mean is taken over these frames.
        weight: 1 changes nothing, 0 removes the constant part.

    Returns:
        (B, T, ...).
    """
    error = predicted - target
    count = (
        torch.ones(error.shape[:2], dtype=error.dtype, device=error.device) if valid is None else valid.to(error.dtype)
    )
    count = count.reshape(*count.shape, *[1] * (error.dim() - 2))
    mean = (error * count).sum(dim=1, keepdim=True) / count.sum(dim=1, keepdim=True).clamp_min(1.0)
    return predicted - (1 - weight**0.5) * mean


def motion_energy(target: Tensor, metric: Tensor, valid: Tensor | None = None) -> Tensor:
    """Variance of each window over its valid frames, weighted as in `coefficient_loss`: (B,), in squared face units.

    Args:
        target: (B, T, E).
        metric: (E, E).
        valid: (B, T) bool.
    """
    weight = target.new_ones(target.shape[:2]) if valid is None else valid.to(target.dtype)
    count = weight.sum(dim=1).clamp_min(1.0)  # (B,)
    motion = target - (target * weight[..., None]).sum(dim=1, keepdim=True) / count[:, None, None]
    return (torch.einsum("bte,ef,btf->bt", motion, metric, motion) * weight).sum(dim=1) / count


def balance_windows(predicted: Tensor, target: Tensor, energy: Tensor, *, share: float) -> Tensor:
    """Shrink the error of windows with much motion and enlarge that of calm ones, so that no few speakers dominate.

    The squared error of window b is multiplied by ``1 / (1 - share + share * energy_b / mean(energy))``.

    Args:
        predicted: (B, T, ...).
        target: (B, T, ...).
        energy: (B,), see `motion_energy`.
        share: 0 changes nothing; near 1 all windows count alike, however much they move.

    Returns:
        (B, T, ...).
    """
    relative = energy / energy.mean().clamp_min(1e-12)
    factor = (1 - share + share * relative).rsqrt()
    return target + (predicted - target) * factor.reshape(-1, *[1] * (predicted.dim() - 1))
