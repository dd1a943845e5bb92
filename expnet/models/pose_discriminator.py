"""A discriminator of head motion for adversarial training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expnet.models.pose_motion import POSE


class PoseDiscriminator(nn.Module):
    """Scores patches of head motion with convolutions over poses and velocities, as SadTalker's PatchGAN does.

    Args:
        width: Channels of the first layer.
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
        """Return scores (N, patches) of poses (N, W, 6) in standard deviations; higher is more realistic."""
        velocity = torch.diff(scaled, dim=1, prepend=scaled[:, :1])
        # Velocities are about a tenth of poses.
        return self.layers(torch.cat([scaled, 10 * velocity], dim=-1).transpose(1, 2)).squeeze(1)
