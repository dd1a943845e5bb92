"""The decoder of the generator: residual blocks that the warped features modulate at every resolution (SPADE).

Source: Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization" (CVPR 2019), in which the features
stand in place of the semantic map.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


class SpatialNormalisation(nn.Module):
    """Instance normalisation with a scale and a shift for each position, which follow from the features.

    Args:
        channels: Channels of what is normalised.
        features: Channels of the features.
        modulation: Channels between features and scales.
    """

    def __init__(self, channels: int, features: int, modulation: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(features, modulation, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(modulation, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(modulation, channels, 3, padding=1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Normalise x (B, C, H, W) by features (B, F, h, w), which are repeated up to (H, W)."""
        shared = self.mlp_shared(F.interpolate(features, size=x.shape[2:], mode="nearest"))
        return F.instance_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class ModulatedBlock(nn.Module):
    """Residual block of two convolutions, each after a `SpatialNormalisation`.

    Args:
        channels_in: Channels of the input.
        channels: Channels of the output; where they differ, the skip connection has a convolution, too.
        features: Channels of the modulating features.
        modulation: Channels between features and scales.
        spectral: Divide the weights of the convolutions by their largest singular value, for training. Published
            weights are divided when they are read, and need it no longer.
    """

    def __init__(self, channels_in: int, channels: int, features: int, modulation: int, *, spectral: bool) -> None:
        super().__init__()
        inner = min(channels_in, channels)

        def convolution(before: int, after: int, kernel: int, *, bias: bool = True) -> nn.Module:
            layer = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=bias)
            return spectral_norm(layer) if spectral else layer

        self.conv_0 = convolution(channels_in, inner, 3)
        self.conv_1 = convolution(inner, channels, 3)
        self.norm_0 = SpatialNormalisation(channels_in, features, modulation)
        self.norm_1 = SpatialNormalisation(inner, features, modulation)
        self.widens = channels_in != channels
        if self.widens:
            self.conv_s = convolution(channels_in, channels, 1, bias=False)
            self.norm_s = SpatialNormalisation(channels_in, features, modulation)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, C', H, W)."""
        skip = self.conv_s(self.norm_s(x, features)) if self.widens else x
        x = self.conv_0(F.leaky_relu(self.norm_0(x, features), SLOPE))
        return skip + self.conv_1(F.leaky_relu(self.norm_1(x, features), SLOPE))


class SpadeDecoder(nn.Module):
    """Decodes features at a quarter of the image's side to the image.

    Args:
        features: Channels F of the features, four times those at the image's side.
        modulation: Channels between features and scales.
        blocks: Blocks before the first doubling.
        spectral: See `ModulatedBlock`.
    """

    def __init__(self, features: int, modulation: int, blocks: int, *, spectral: bool = False) -> None:
        super().__init__()
        wide, narrow = 2 * features, features // 4
        self.fc = nn.Conv2d(features, wide, 3, padding=1)
        self.blocks = blocks
        for step in range(blocks):
            self.add_module(f"G_middle_{step}", ModulatedBlock(wide, wide, features, modulation, spectral=spectral))
        self.up_0 = ModulatedBlock(wide, features, features, modulation, spectral=spectral)
        self.up_1 = ModulatedBlock(features, narrow, features, modulation, spectral=spectral)
        self.conv_img = nn.Conv2d(narrow, 3, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, F, h, w) to images (B, 3, 4 h, 4 w) in (0, 1)."""
        x = self.fc(features)
        for step in range(self.blocks):
            x = self.get_submodule(f"G_middle_{step}")(x, features)
        x = self.up_0(F.interpolate(x, scale_factor=2), features)  # (B, F, 2 h, 2 w)
        x = self.up_1(F.interpolate(x, scale_factor=2), features)  # (B, F / 4, 4 h, 4 w)
        return self.conv_img(F.leaky_relu(x, SLOPE)).sigmoid()
