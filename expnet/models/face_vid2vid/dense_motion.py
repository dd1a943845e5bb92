"""From the motion of keypoints to the flow of a feature volume, and where the result is occluded."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expnet.models.face_vid2vid.blocks import DoublingVolumeBlock, HalvingVolumeBlock, widths
from expnet.models.face_vid2vid.grids import volume_grid
from expnet.models.face_vid2vid.sizes import RendererSizes

VARIANCE = 0.01
"""Variance of the heat maps around keypoints, in the units of `volume_grid`."""
NEGLIGIBLE = 1e-3
"""Shares of a keypoint's motion below this are set to zero."""


class Flow(NamedTuple):
    """Where the features of a frame come from.

    Attributes:
        grid: (B, D, H, W, 3) the position in the source from which each cell is sampled.
        visible: (B, 1, H, W) in (0, 1), how far a position is visible in the source.
    """

    grid: Tensor
    visible: Tensor


class DenseMotion(nn.Module):
    """Estimates the flow of a feature volume from its keypoints before and after a motion.

    Each keypoint proposes to move the whole volume with it, and one proposal keeps it in place. An hourglass sees the
    volume moved by each proposal, and heat maps of the keypoints, and mixes the proposals at every position.

    Args:
        sizes: Sizes of the networks.
    """

    def __init__(self, sizes: RendererSizes) -> None:
        super().__init__()
        proposals = sizes.keypoints + 1
        self.compress = nn.Conv3d(sizes.volume_channels, sizes.compressed, 1)
        self.norm = nn.BatchNorm3d(sizes.compressed)
        self.hourglass = Hourglass(proposals * (sizes.compressed + 1), sizes)
        self.mask = nn.Conv3d(self.hourglass.channels, proposals, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.channels * sizes.depth, 1, 7, padding=3)

    def compressed(self, volume: Tensor) -> Tensor:
        """Return the few channels (B, C, D, H, W) of a source's volume from which flows are estimated."""
        return F.relu(self.norm(self.compress(volume)))

    def forward(self, compressed: Tensor, driving: Tensor, source: Tensor) -> Flow:
        """Return the flow that moves keypoints ``source`` (B, K, 3) to ``driving`` (B, K, 3).

        Args:
            compressed: Result of :meth:`compressed` for the source.
            driving: Keypoints of the frame.
            source: Keypoints of the source.
        """
        batch, _, depth, height, width = compressed.shape
        grid = volume_grid(depth, height, width, compressed)
        shifts = (source - driving)[:, :, None, None, None]  # (B, K, 1, 1, 1, 3)
        moved = torch.cat([grid.expand(batch, 1, *grid.shape), grid + shifts], dim=1)  # (B, K + 1, D, H, W, 3)
        copies = compressed[:, None].expand(-1, moved.shape[1], -1, -1, -1, -1).flatten(0, 1)
        seen = F.grid_sample(copies, moved.flatten(0, 1), align_corners=False).unflatten(0, moved.shape[:2])
        heat = _heat(grid, driving) - _heat(grid, source)  # (B, K, D, H, W)
        heat = F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))  # the proposal to stay in place has none
        hidden = self.hourglass(torch.cat([heat[:, :, None], seen], dim=2).flatten(1, 2))
        shares = self._scores(hidden).softmax(dim=1)  # (B, K + 1, D, H, W)
        shares = torch.where(shares < NEGLIGIBLE, 0.0, shares)
        mixed = (moved * shares[..., None]).sum(dim=1)  # (B, D, H, W, 3)
        return Flow(mixed, self.occlusion(hidden.flatten(1, 2)).sigmoid())

    def _scores(self, hidden: Tensor) -> Tensor:
        """Return the scores (B, K + 1, D, H, W) of the proposals."""
        if hidden.device.type != "cpu" or hidden.dtype not in (torch.bfloat16, torch.float16):
            return self.mask(hidden)
        # On a CPU, the 16-bit gradients of this convolution overwrite memory that is not theirs (torch 2.15).
        with torch.autocast("cpu", enabled=False):
            return self.mask(hidden.float())


def _heat(grid: Tensor, keypoints: Tensor) -> Tensor:
    """Return Gaussians (B, K, D, H, W) around keypoints (B, K, 3)."""
    distance = (grid - keypoints[:, :, None, None, None]).square().sum(dim=-1)
    return (-0.5 / VARIANCE * distance).exp()


class Hourglass(nn.Module):
    """Halves a volume several times and doubles it again, with skip connections between equal resolutions.

    Args:
        channels_in: Channels of the input.
        sizes: Sizes of the networks.

    Attributes:
        channels: Channels of the output.
    """

    def __init__(self, channels_in: int, sizes: RendererSizes) -> None:
        super().__init__()
        inner = widths(sizes.motion_width, sizes.motion_halvings, sizes.motion_largest)
        self.encoder = _Halvings([channels_in, *inner[1:]])
        self.decoder = _Doublings(inner[::-1], channels_in)
        self.channels = inner[0] + channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to (B, C', D, H, W)."""
        return self.decoder(self.encoder(x))


class _Halvings(nn.Module):
    """Returns a volume and its halvings; ``channels`` are those of each."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(map(HalvingVolumeBlock, channels, channels[1:]))

    def forward(self, x: Tensor) -> list[Tensor]:
        volumes = [x]
        for halving in self.down_blocks:
            volumes.append(halving(volumes[-1]))
        return volumes


class _Doublings(nn.Module):
    """Doubles the smallest volume, each time beside the halving of the same size; ``channels`` from small to large."""

    def __init__(self, channels: list[int], skipped: int) -> None:
        super().__init__()
        before = [channels[0], *(2 * width for width in channels[1:-1])]
        self.up_blocks = nn.ModuleList(map(DoublingVolumeBlock, before, channels[1:]))
        last = channels[-1] + skipped
        self.conv = nn.Conv3d(last, last, 3, padding=1)
        self.norm = nn.BatchNorm3d(last)

    def forward(self, volumes: list[Tensor]) -> Tensor:
        x, skips = volumes[-1], volumes[-2::-1]
        for doubling, skip in zip(self.up_blocks, skips, strict=True):
            x = torch.cat([doubling(x), skip], dim=1)
        return F.relu(self.norm(self.conv(x)))
