"""Deep3DFaceRecon's network: an aligned image of a face to its 257 coefficients under the Basel Face Model.

It is a ResNet-50 (He et al. 2016, with the stride on the 3 x 3 convolution) and seven linear heads. Source:
sicxu/Deep3DFaceRecon_pytorch and OpenTalker/SadTalker ``src/face3d/models/networks.py``; parameters keep their names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEADS = (80, 64, 80, 3, 27, 2, 1)
"""Numbers that each head returns: identity, expression, texture, rotation, illumination, translation x and y, and z."""
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Inner channels and blocks of each stage; a block's output has four times its inner channels."""


class CoefficientRegressor(nn.Module):
    """Regresses the 257 coefficients of an aligned face (`expnet.face.alignment`).

    Args:
        stages: Inner channels and number of blocks of the four stages; the default is ResNet-50.
    """

    def __init__(self, stages: tuple[tuple[int, int], ...] = STAGES) -> None:
        super().__init__()
        self.backbone = _Backbone(stages)
        self.final_layers = nn.ModuleList(nn.Conv2d(4 * stages[-1][0], size, 1) for size in HEADS)

    def forward(self, image: Tensor) -> Tensor:
        """Return coefficients (B, 257) of images (B, 3, 224, 224) in [0, 1], in the order of `HEADS`."""
        features = self.backbone(image).mean((2, 3), keepdim=True)  # (B, 2048, 1, 1)
        return torch.cat([head(features) for head in self.final_layers], dim=1).flatten(1)


class _Backbone(nn.Module):
    """ResNet without its classifier."""

    def __init__(self, stages: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        channels = stages[0][0]
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.stages = len(stages)
        for number, (inner, blocks) in enumerate(stages, start=1):
            first = _Bottleneck(channels, inner, stride=1 if number == 1 else 2)
            channels = 4 * inner
            rest = [_Bottleneck(channels, inner) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(first, *rest))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x


class _Bottleneck(nn.Module):
    def __init__(self, channels_in: int, inner: int, *, stride: int = 1) -> None:
        super().__init__()
        channels = 4 * inner
        self.conv1 = nn.Conv2d(channels_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = nn.Sequential()
        if stride != 1 or channels_in != channels:
            projection = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(x)))
        hidden = F.relu(self.bn2(self.conv2(hidden)))
        return F.relu(self.bn3(self.conv3(hidden)) + self.downsample(x))
