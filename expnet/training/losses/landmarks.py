"""Losses of 68 landmarks (iBUG) and of the opening of the eyes, and the scale of landmark motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from expnet.face.landmarks import INNER_LIPS, MOUTH
from expnet.training.losses.masking import masked_mean

if TYPE_CHECKING:
    from expnet.face.morphable import MorphableModel

LANDMARKS = 68
UPPER_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
"""Pairs of an upper eyelid landmark and the lower one beneath it, in both eyes (iBUG 68)."""
EYE_CORNERS = ((36, 39), (42, 45))


def landmark_weights(*, mouth: float = 2.0, inner_mouth: float = 10.0) -> Tensor:
    """Return weights of the 68 landmarks with mean 1.

    Args:
        mouth: Weight of the outer lips relative to 1 for the rest of the face.
        inner_mouth: Weight of the inner lips (20 in Deep3DFaceRecon).

    Returns:
        (68,) float32.
    """
    weights = torch.ones(LANDMARKS)
    weights[list(MOUTH)] = mouth
    weights[list(INNER_LIPS)] = inner_mouth
    return weights / weights.mean()


def landmark_loss(predicted: Tensor, target: Tensor, weights: Tensor, valid: Tensor | None = None) -> Tensor:
    """Weighted mean squared distance between landmarks, in the squared unit of the landmarks.

    ``mean over frames and landmarks of w_l |p_l - q_l|^2``.

    Args:
        predicted: (B, T, L, D).
        target: (B, T, L, D).
        weights: (L,), see `landmark_weights`.
        valid: (B, T) bool.
    """
    squared = (predicted - target).square().sum(dim=-1)  # (B, T, L)
    return masked_mean((squared * weights).mean(dim=-1), valid)


def landmark_displacements(face_model: MorphableModel, expression_std: Tensor) -> Tensor:
    """Return how far one standard deviation of each expression coefficient moves the landmarks.

    The face model is linear, so the squared displacements of uncorrelated coefficients add up.

    Args:
        face_model: The face model.
        expression_std: (E,) standard deviations in the training clips.

    Returns:
        (E, 68, 3), in face units.
    """
    identity = expression_std.new_zeros(len(expression_std), face_model.identity_basis.shape[-1])
    rest, moved = (face_model.landmarks(identity, torch.diag(scale * expression_std)) for scale in (0, 1))
    return moved - rest


def eye_ratio(landmarks: Tensor) -> Tensor:
    """Opening of the eyes: mean eyelid distance over mean eye width (SadTalker's ratio, after Soukupova and Cech).

    One ratio of both eyes together, unlike `expnet.metrics.functional.eye_aspect_ratio`, which is the mean of two.

    Args:
        landmarks: (..., 68, D).

    Returns:
        (...), about 0.3 for open eyes and 0 for closed ones.
    """
    lids = torch.stack([(landmarks[..., a, :] - landmarks[..., b, :]).norm(dim=-1) for a, b in UPPER_LIDS], -1)
    widths = torch.stack([(landmarks[..., a, :] - landmarks[..., b, :]).norm(dim=-1) for a, b in EYE_CORNERS], -1)
    return lids.mean(dim=-1) / widths.mean(dim=-1).clamp_min(1e-6)


def eye_loss(predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean absolute difference of `eye_ratio`, for landmarks (B, T, 68, D)."""
    return masked_mean((eye_ratio(predicted) - eye_ratio(target)).abs(), valid)
