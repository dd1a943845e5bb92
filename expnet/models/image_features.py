"""Features of images for perceptual losses: VGG-16, with torchvision's weights from a file or with random ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from expnet.models.perceptual import fill_backbone

_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the convolutions of each stage, which ends with relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""


class ImageFeatures(nn.Module):
    """The activations of VGG-16 (Simonyan & Zisserman 2015) at the end of each of its stages, frozen.

    With random weights the stages are random projections of ever larger patches: their distances see edges and
    textures, but know nothing of faces.

    Args:
        weights: Torchvision's ``vgg16-397923af.pth``; None for random weights.
        stages: Number of stages, 1 to 5.
        seed: Seed of the random weights.

    Raises:
        MissingAssetError: There is no such file.
        InputError: The file belongs to another network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str | Path | None = None, *, stages: int = 5, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stages = nn.ModuleList(_stages(stages))
        if weights is not None:
            fill_backbone(self.stages, weights)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, -1, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features (B, C, h, w) of images (B, 3, S, S) in [0, 1] after each stage."""
        x, features = (images - self.mean) / self.std, []
        for stage in self.stages:
            if min(x.shape[-2:]) < 2:
                break  # too small to be halved again
            x = stage(x)
            features.append(x)
        return features


def _stages(count: int) -> Iterator[nn.Sequential]:
    """Yield stages whose layers have the numbers of torchvision's ``features``."""
    number, before = 0, 3
    for stage, channels in enumerate(_STAGES[:count]):
        layers = nn.Sequential()
        if stage:
            layers.add_module(str(number), nn.MaxPool2d(2))
            number += 1
        for after in channels:
            layers.add_module(str(number), _convolution(before, after))
            layers.add_module(str(number + 1), nn.ReLU())
            number, before = number + 2, after
        yield layers


def _convolution(before: int, after: int) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
