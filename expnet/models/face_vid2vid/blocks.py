"""Building blocks of the face-vid2vid networks, with the parameter names of the published weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvolutionBlock(nn.Module):
    """Convolution, batch normalisation and activation at the same resolution, on images.

    Args:
        channels_in: Channels of the input.
        channels: Channels of the output.
        slope: Slope of the activation for negative values.
    """

    def __init__(self, channels_in: int, channels: int, *, slope: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W)."""
        return F.leaky_relu(self.norm(self.conv(x)), self.slope)


class HalvingBlock(ConvolutionBlock):
    """A convolution block on images whose output has half the side."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / 2, W / 2)."""
        return F.avg_pool2d(super().forward(x), 2)


class VolumeBlock(nn.Module):
    """Convolution, batch normalisation and ReLU on volumes (B, C, D, H, W) at the same resolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels, 3, padding=1)
        self.norm = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to (B, C', D, H, W)."""
        return F.relu(self.norm(self.conv(x)))


class HalvingVolumeBlock(VolumeBlock):
    """A volume block whose output has half the height and width; the depth stays."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to (B, C', D, H / 2, W / 2)."""
        return F.avg_pool3d(super().forward(x), (1, 2, 2))


class DoublingVolumeBlock(VolumeBlock):
    """A volume block that first doubles height and width by repetition; the depth stays."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to (B, C', D, 2 H, 2 W)."""
        return super().forward(F.interpolate(x, scale_factor=(1, 2, 2)))


class ResidualVolumeBlock(nn.Module):
    """Two pre-activated convolutions on a volume, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to the same shape."""
        hidden = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(hidden)))


class BottleneckBlock(nn.Module):
    """Residual block of three convolutions with a quarter of the channels between them.

    Args:
        channels: Channels of input and output.
        stride: Stride of the middle convolution, and of a convolution on the skip connection where it is not 1.
    """

    def __init__(self, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1)
        self.conv3 = nn.Conv2d(inner, channels, 1)
        self.norm1 = nn.BatchNorm2d(inner)
        self.norm2 = nn.BatchNorm2d(inner)
        self.norm3 = nn.BatchNorm2d(channels)
        self.strided = stride != 1
        if self.strided:
            self.skip = nn.Conv2d(channels, channels, 1, stride)
            self.norm4 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H / stride, W / stride)."""
        hidden = F.relu(self.norm1(self.conv1(x)))
        hidden = F.relu(self.norm2(self.conv2(hidden)))
        hidden = self.norm3(self.conv3(hidden))
        return F.relu(hidden + (self.norm4(self.skip(x)) if self.strided else x))


def widths(first: int, halvings: int, largest: int) -> list[int]:
    """Return the channels after 0 ... ``halvings`` halvings: ``first``, doubled each time, up to ``largest``."""
    return [min(largest, first * 2**step) for step in range(halvings + 1)]
