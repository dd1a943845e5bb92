"""The residual networks of ArcFace: the cosine of two embeddings tells whether two faces belong to one person.

Layer names are those of insightface's published ``backbone.pth`` files (https://github.com/deepinsight/insightface,
``arcface_torch``), so they load unchanged. The weights are for non-commercial research only.
"""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from expnet.errors import InputError
from expnet.models.published_weights import fill, read_weights

DEPTHS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
}
"""Blocks in each of the four stages, by the nominal number of layers."""


class IResNet(nn.Module):
    """Maps aligned faces (N, 3, 112, 112), RGB in [-1, 1], to embeddings (N, 512), to be compared by their cosine.

    The weights are random until `load_recogniser` loads them.

    Args:
        layers: Nominal number of layers, one of 18, 34, 50 and 100.
    """

    def __init__(self, layers: int = 100) -> None:
        super().__init__()
        if layers not in DEPTHS:
            raise ValueError(f"layers must be one of {', '.join(map(str, DEPTHS))}, got {layers}")
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        channels = 64
        for stage, (width, blocks) in enumerate(zip((64, 128, 256, 512), DEPTHS[layers], strict=True), 1):
            chain = [_Block(channels, width, stride=2), *(_Block(width, width) for _ in range(blocks - 1))]
            setattr(self, f"layer{stage}", nn.Sequential(*chain))
            channels = width
        self.bn2 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels * 7 * 7, 512)
        self.features = nn.BatchNorm1d(512)

    def forward(self, faces: Tensor) -> Tensor:
        """Map (N, 3, 112, 112) to (N, 512)."""
        hidden = self.prelu(self.bn1(self.conv1(faces)))
        for stage in range(1, 5):
            hidden = getattr(self, f"layer{stage}")(hidden)  # (N, 64, 56, 56) ... (N, 512, 7, 7)
        embedding: Tensor = self.features(self.fc(self.bn2(hidden).flatten(1)))
        return embedding


class _Block(nn.Module):
    """Two convolutions between three normalisations; the second convolution may halve the resolution."""

    def __init__(self, channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, width, H / stride, W / stride)."""
        inner = self.prelu(self.bn2(self.conv1(self.bn1(hidden))))
        skipped = hidden if self.downsample is None else self.downsample(hidden)
        return torch.add(self.bn3(self.conv2(inner)), skipped)


def load_recogniser(path: str | Path) -> IResNet:
    """Read one of insightface's ``backbone.pth`` files; the depth follows from its parameter names.

    Args:
        path: File of an ``iresnet`` 18, 34, 50 or 100 of ``arcface_torch``.

    Raises:
        MissingAssetError: There is no such file.
        InputError: It is not one of these networks.
    """
    state = read_weights(path)
    blocks = [(int(match[1]), int(match[2])) for match in map(re.compile(r"layer(\d)\.(\d+)\.").match, state) if match]
    depths = tuple(max((block + 1 for stage, block in blocks if stage == wanted), default=0) for wanted in range(1, 5))
    for layers, expected in DEPTHS.items():
        if depths == expected:
            return fill(IResNet(layers), state, path)
    raise InputError(f"{path} is not an ArcFace iresnet of {', '.join(map(str, DEPTHS))} layers; found blocks {depths}")
