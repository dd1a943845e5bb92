"""A discriminator that judges patches of images at several scales."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from expnet.models.face_vid2vid.blocks import widths

_SLOPE = 0.2
_LARGEST = 512


class Judgement(NamedTuple):
    """What a discriminator says of images at one scale.

    Attributes:
        scores: (B, 1, h, w) score of each patch; higher is more realistic.
        features: (B, C, h, w) of each layer, for feature matching.
    """

    scores: Tensor
    features: list[Tensor]


class PatchDiscriminator(nn.Module):
    """Scores patches of images with spectrally normalised convolutions, at the full size and at halves of it.

    Source: Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs" (CVPR 2018),
    with the layers of the first-order motion model (Siarohin et al. 2019): convolution, instance normalisation from the
    second layer on, leaky ReLU, average pooling.

    Args:
        width: Channels of the first layer; they double with each layer, up to 512.
        layers: Layers before the scores, each of which halves the side.
        scales: Number of scales.
    """

    def __init__(self, width: int = 32, layers: int = 4, scales: int = 1) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_SingleScale(width, layers) for _ in range(scales))

    def forward(self, images: Tensor) -> list[Judgement]:
        """Return a judgement of images (B, 3, S, S) in [0, 1] for each scale, the full size first."""
        judged = []
        for number, scale in enumerate(self.scales):
            judged.append(scale(images if not number else F.avg_pool2d(images, 2**number)))
        return judged


class _SingleScale(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        channels = [3, *widths(width, layers - 1, _LARGEST)]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, padding=2)) for before, after in pairwise(channels)
        )
        self.score = spectral_norm(nn.Conv2d(channels[-1], 1, 1))

    def forward(self, images: Tensor) -> Judgement:
        x, features = 2 * images - 1, []
        for number, layer in enumerate(self.layers):
            x = layer(x)  # (B, C, h + 1, w + 1)
            x = F.avg_pool2d(F.leaky_relu(F.instance_norm(x) if number else x, _SLOPE), 2)  # (B, C, h / 2, w / 2)
            features.append(x)
        return Judgement(self.score(x), features)
