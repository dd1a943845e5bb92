"""Canonical keypoints of a face: those of its identity, without pose and expression."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expnet.models.face_vid2vid.blocks import DoublingVolumeBlock, HalvingBlock, widths
from expnet.models.face_vid2vid.grids import volume_grid
from expnet.models.face_vid2vid.sizes import PUBLISHED, RendererSizes

TEMPERATURE = 0.1
"""Temperature of the softmax over positions, of which a keypoint is the expected value."""
SHRINK = 4
"""The detector sees the image at a quarter of its side, band-limited."""


class KeypointDetector(nn.Module):
    """Detects the canonical keypoints of a face.

    Args:
        sizes: Sizes of the networks.
    """

    def __init__(self, sizes: RendererSizes = PUBLISHED) -> None:
        super().__init__()
        self.predictor = _ImageToVolume(sizes)
        self.kp = nn.Conv3d(sizes.motion_width, sizes.keypoints, 3, padding=1)
        self.down = _BandLimitedShrinking()

    def forward(self, image: Tensor) -> Tensor:
        """Return keypoints (B, K, 3), x, y and depth in [-1, 1], of images (B, 3, S, S) in [0, 1]."""
        heat = self.kp(self.predictor(self.down(image)))  # (B, K, D, S / 4, S / 4)
        # Positions in 16 bits would be off by a quarter of a cell, so mixed precision ends here.
        with torch.autocast(heat.device.type, enabled=False):
            heat = heat.float() if heat.dtype in (torch.bfloat16, torch.float16) else heat
            shares = (heat.flatten(2) / TEMPERATURE).softmax(dim=2)  # (B, K, N)
            depth, height, width = heat.shape[2:]
            return shares @ volume_grid(depth, height, width, heat).flatten(0, 2)


class _ImageToVolume(nn.Module):
    """Halves an image several times, unfolds its channels into depth, and doubles the volume again."""

    def __init__(self, sizes: RendererSizes) -> None:
        super().__init__()
        inner = widths(sizes.motion_width, sizes.motion_halvings, sizes.motion_largest)
        self.depth = sizes.depth
        halvings = map(HalvingBlock, [3, *inner[1:]], inner[1:])
        self.down_blocks = nn.Sequential(OrderedDict((f"down{i}", block) for i, block in enumerate(halvings)))
        self.conv = nn.Conv2d(inner[-1], inner[-1] * sizes.depth, 1)
        doublings = map(DoublingVolumeBlock, inner[::-1], inner[-2::-1])
        self.up_blocks = nn.Sequential(OrderedDict((f"up{i}", block) for i, block in enumerate(doublings)))

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, h, w) to (B, C, D, h, w)."""
        return self.up_blocks(self.conv(self.down_blocks(image)).unflatten(1, (-1, self.depth)))


class _BandLimitedShrinking(nn.Module):
    """Shrinks an image by `SHRINK` after a Gaussian blur with a standard deviation of (SHRINK - 1) / 2 pixels."""

    weight: Tensor

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        deviation = (SHRINK - 1) / 2
        radius = round(4 * deviation)
        line = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * deviation**2))
        kernel = torch.outer(line, line)
        self.register_buffer("weight", (kernel / kernel.sum()).expand(channels, 1, -1, -1).contiguous())

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, S, S) to (B, 3, S / 4, S / 4); outside of the image is black."""
        blurred = F.conv2d(image, self.weight, padding=self.weight.shape[-1] // 2, groups=len(self.weight))
        return blurred[:, :, ::SHRINK, ::SHRINK]
