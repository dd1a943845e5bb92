"""From an image and the motion of its keypoints to a frame."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from expnet.models.face_vid2vid.blocks import ConvolutionBlock, HalvingBlock, ResidualVolumeBlock
from expnet.models.face_vid2vid.dense_motion import DenseMotion
from expnet.models.face_vid2vid.sizes import PUBLISHED, RendererSizes
from expnet.models.face_vid2vid.spade import SpadeDecoder


class SourceFeatures(NamedTuple):
    """What the frames of one source share, so that it is computed once.

    Attributes:
        volume: (B, C, D, H, W) features of the source.
        compressed: (B, C', D, H, W) the part from which flows are estimated.
    """

    volume: Tensor
    compressed: Tensor


class FaceGenerator(nn.Module):
    """Warps the features of an image by the motion of its keypoints, and decodes them.

    An image of side S has features of side S / 4, so the same weights serve every size that four divides and the
    hourglass can halve.

    Args:
        sizes: Sizes of the networks.
        spectral: Normalise the decoder's weights spectrally, for training; see `expnet.models.face_vid2vid.spade`.
    """

    def __init__(self, sizes: RendererSizes = PUBLISHED, *, spectral: bool = False) -> None:
        super().__init__()
        self.sizes = sizes
        width, features = sizes.width, sizes.features
        flat = sizes.volume_channels * sizes.depth
        self.first = ConvolutionBlock(3, width)
        self.down_blocks = nn.ModuleList([HalvingBlock(width, 2 * width), HalvingBlock(2 * width, features)])
        self.second = nn.Conv2d(features, flat, 1)
        self.resblocks_3d = nn.Sequential(
            OrderedDict((f"3dr{i}", ResidualVolumeBlock(sizes.volume_channels)) for i in range(sizes.volume_blocks))
        )
        self.dense_motion_network = DenseMotion(sizes)
        self.third = ConvolutionBlock(flat, features, slope=0.01)
        self.fourth = nn.Conv2d(features, features, 1)
        self.decoder = SpadeDecoder(features, sizes.modulation, sizes.decoder_blocks, spectral=spectral)

    def encode(self, image: Tensor) -> SourceFeatures:
        """Return the features of source images (B, 3, S, S) in [0, 1]."""
        x = self.first(image)
        for halving in self.down_blocks:
            x = halving(x)
        flat = self.second(x)  # (B, C D, S / 4, S / 4)
        volume = self.resblocks_3d(flat.unflatten(1, (self.sizes.volume_channels, self.sizes.depth)))
        return SourceFeatures(volume, self.dense_motion_network.compressed(volume))

    def decode(self, source: SourceFeatures, driving_keypoints: Tensor, source_keypoints: Tensor) -> Tensor:
        """Return the frames (B, 3, S, S) in (0, 1) of sources whose keypoints (B, K, 3) move."""
        flow = self.dense_motion_network(source.compressed, driving_keypoints, source_keypoints)
        warped = F.grid_sample(source.volume, flow.grid, align_corners=False).flatten(1, 2)  # (B, C D, S / 4, S / 4)
        return self.decoder(self.fourth(self.third(warped)) * flow.visible)

    def forward(self, image: Tensor, driving_keypoints: Tensor, source_keypoints: Tensor) -> Tensor:
        """Return the frames (B, 3, S, S) of images (B, 3, S, S) whose keypoints (B, K, 3) move."""
        return self.decode(self.encode(image), driving_keypoints, source_keypoints)
