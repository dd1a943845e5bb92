"""Losses of the keypoints that move a face. Source: Wang, Mallya, Liu, face-vid2vid (CVPR 2021), section 3.3."""

from __future__ import annotations

import torch
from torch import Tensor

APART = 0.1
"""Squared distance from which two keypoints no longer push each other away."""
DEPTH = 0.33
"""Mean depth of the keypoints."""


def keypoint_prior(keypoints: Tensor) -> Tensor:
    """Return ``sum_{i != j} max(0, 0.1 - |x_i - x_j|^2) + |mean z - 0.33|``, averaged over the batch.

    Args:
        keypoints: (B, K, 3).
    """
    distance = (keypoints[:, :, None] - keypoints[:, None]).square().sum(dim=-1)  # (B, K, K)
    others = ~torch.eye(keypoints.shape[1], dtype=torch.bool, device=keypoints.device)
    near = ((APART - distance).clamp_min(0) * others).sum(dim=(1, 2))
    return (near + (keypoints[..., 2].mean(dim=1) - DEPTH).abs()).mean()


def equivariance_loss(keypoints: Tensor, changed: Tensor, change: Tensor) -> Tensor:
    """Return the mean absolute distance in x and y of a changed frame's keypoints from where the change moves them.

    Args:
        keypoints: (B, K, 3) keypoints of the frame.
        changed: (B, K, 3) keypoints of the changed frame.
        change: (B, 2, 3) affine map from positions in the frame to those in the changed frame.
    """
    moved = keypoints[..., :2] @ change[:, :, :2].mT + change[:, None, :, 2]
    return (moved - changed[..., :2]).abs().mean()
