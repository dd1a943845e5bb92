"""A judge of head motion for adversarial training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expnet.models.pose_motion import POSE


class PoseDiscriminator(nn.Module):
    """Judge patches of head motion, as SadTalker's PatchGAN: convolutions over poses and velocities, one score a patch.

    Args:
        width: of the first layer.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2 * POSE, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv1d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv1d(2 * width, 1, 3, padding=1),
        )

    def forward(self, scaled: Tensor) -> Tensor:
        """Score poses (N, W, 6) in standard deviations: (N, patches), higher is more real."""
        velocity = torch.diff(scaled, dim=1, prepend=scaled[:, :1])
        # velocities are about a tenth of poses
        return self.layers(torch.cat([scaled, 10 * velocity], dim=-1).transpose(1, 2)).squeeze(1)
