"""The Inception network of the Frechet distance: TensorFlow's of 2015-12-05, whose weights all FID tools share.

It differs from torchvision's: average pooling excludes the padding, and the last block uses max pooling. Layer names
are those of the published conversions, so that their files load unchanged:

- ``pt_inception-2015-12-05-6726825d.pth`` (https://github.com/mseitzer/pytorch-fid, Apache-2.0)
- ``weights-inception-2015-12-05-6726825d.pth`` (https://github.com/toshas/torch-fidelity, Apache-2.0): the same tensors

clean-fid's ``inception-2015-12-05.pt`` is a TorchScript archive, which is code and is therefore not read. Its weights
are the same, so the ``clean_fid`` protocol works with either file above.
"""

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expnet.models.published_weights import fill, read_weights

Size = int | tuple[int, int]
Step = tuple[str, int, Size]
"""Name, output channels and kernel of one convolution."""
Pooling = Literal["average", "maximum", "strided"]

_STAGES: dict[int, tuple[str, ...]] = {
    64: ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "pool"),
    192: ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "pool"),
    768: ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    2048: ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
}
"""Layers up to each point where features can be taken, by the number of features there."""


class FidInception(nn.Module):
    """Maps images to pooled features.

    The weights are random until `load_inception` loads them.

    Args:
        features: 2048 (the last layer, as in FID), or 768, 192 or 64 for less data.
    """

    def __init__(self, features: int = 2048) -> None:
        super().__init__()
        if features not in _STAGES:
            raise ValueError(f"features must be one of {', '.join(map(str, _STAGES))}, got {features}")
        self.features = features
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)
        self.Mixed_5b = _block_35(192, pooled=32)
        self.Mixed_5c = _block_35(256, pooled=64)
        self.Mixed_5d = _block_35(288, pooled=64)
        self.Mixed_6a = _reduction_17(288)
        self.Mixed_6b = _block_17(768, inner=128)
        self.Mixed_6c = _block_17(768, inner=160)
        self.Mixed_6d = _block_17(768, inner=160)
        self.Mixed_6e = _block_17(768, inner=192)
        self.Mixed_7a = _reduction_8(768)
        self.Mixed_7b = _block_8(1280, "average")
        self.Mixed_7c = _block_8(2048, "maximum")
        # On a CPU, convolutions take two thirds of the time in channels-last memory.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, features) of images (N, 3, 299, 299) that are already scaled to about [-1, 1]."""
        hidden = images.contiguous(memory_format=torch.channels_last)
        for features, layers in _STAGES.items():
            for layer in layers:
                hidden = F.max_pool2d(hidden, 3, stride=2) if layer == "pool" else getattr(self, layer)(hidden)
            if features == self.features:
                break
        return hidden.mean((-1, -2))


def load_inception(path: str | Path, *, features: int = 2048) -> FidInception:
    """Read the published weights; the docstring of the module names the files.

    Args:
        path: The file of pytorch-fid or torch-fidelity.
        features: Number of features, see `FidInception`.

    Raises:
        MissingAssetError: There is no such file.
        InputError: It is not one of these files.
    """
    state = {name: value for name, value in read_weights(path).items() if not name.startswith("fc.")}
    return fill(FidInception(features), state, path)


class _Convolution(nn.Module):
    """A convolution, batch normalisation and ReLU."""

    def __init__(self, channels: int, out: int, kernel: Size, *, stride: int = 1, padding: Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)
        # Keeps the scale of the signal through 94 layers, so that features of random weights can be compared.
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, H', W')."""
        return F.relu(self.bn(self.conv(hidden)), inplace=True)


class _Mixed(nn.Module):
    """Parallel chains of convolutions whose outputs are concatenated, with the pooled input last.

    Args:
        channels: Channels of the input.
        chains: The steps of each chain in order; a last step that is a list forks into parallel ends.
        pooling: ``average`` and ``maximum`` keep the size and are followed by a 1 x 1 convolution; ``strided`` is max
            pooling with stride 2, and the last step of every chain then has stride 2 without padding.
        pooled: Channels of the convolution after pooling.
    """

    def __init__(
        self, channels: int, chains: list[list[Step | list[Step]]], pooling: Pooling, *, pooled: int = 0
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.chains: list[list[list[str]]] = []
        for chain in chains:
            width, names = channels, []
            for index, step in enumerate(chain):
                ends = step if isinstance(step, list) else [step]
                strided = pooling == "strided" and index == len(chain) - 1
                for name, out, kernel in ends:
                    self.add_module(name, _step(width, out, kernel, strided))
                width = ends[0][1]
                names.append([name for name, _, _ in ends])
            self.chains.append(names)
        if pooled:
            self.branch_pool = _Convolution(channels, pooled, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H, W), or half the size for ``strided``."""
        outputs = []
        for chain in self.chains:
            ends = [hidden]
            for names in chain:
                ends = [getattr(self, name)(ends[0]) for name in names]
            outputs += ends
        return torch.cat([*outputs, self._pool(hidden)], 1)

    def _pool(self, hidden: Tensor) -> Tensor:
        if self.pooling == "strided":
            return F.max_pool2d(hidden, 3, stride=2)
        if self.pooling == "maximum":
            pooled = F.max_pool2d(hidden, 3, stride=1, padding=1)
        else:  # as in TensorFlow, which excludes the padding from the average
            pooled = F.avg_pool2d(hidden, 3, stride=1, padding=1, count_include_pad=False)
        return self.branch_pool(pooled)


def _step(channels: int, out: int, kernel: Size, strided: bool) -> _Convolution:
    """Return one convolution of a chain, which keeps the size or has stride 2 without padding."""
    if strided:
        return _Convolution(channels, out, kernel, stride=2)
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    return _Convolution(channels, out, kernel, padding=(height // 2, width // 2))


def _block_35(channels: int, *, pooled: int) -> _Mixed:
    """Return a block of the 35 x 35 grid, (N, C, 35, 35) -> (N, 224 + pooled, 35, 35)."""
    return _Mixed(
        channels,
        [
            [("branch1x1", 64, 1)],
            [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
            [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
        ],
        "average",
        pooled=pooled,
    )


def _reduction_17(channels: int) -> _Mixed:
    """Return the reduction (N, C, 35, 35) -> (N, C + 480, 17, 17)."""
    double = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
    return _Mixed(channels, [[("branch3x3", 384, 3)], [*double]], "strided")


def _block_17(channels: int, *, inner: int) -> _Mixed:
    """Return a block of the 17 x 17 grid, with factorised 7 x 7 kernels: (N, C, 17, 17) -> (N, 768, 17, 17)."""
    row, column = (1, 7), (7, 1)
    return _Mixed(
        channels,
        [
            [("branch1x1", 192, 1)],
            [("branch7x7_1", inner, 1), ("branch7x7_2", inner, row), ("branch7x7_3", 192, column)],
            [
                ("branch7x7dbl_1", inner, 1),
                ("branch7x7dbl_2", inner, column),
                ("branch7x7dbl_3", inner, row),
                ("branch7x7dbl_4", inner, column),
                ("branch7x7dbl_5", 192, row),
            ],
        ],
        "average",
        pooled=192,
    )


def _reduction_8(channels: int) -> _Mixed:
    """Return the reduction (N, C, 17, 17) -> (N, C + 512, 8, 8)."""
    return _Mixed(
        channels,
        [
            [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)],
            [
                ("branch7x7x3_1", 192, 1),
                ("branch7x7x3_2", 192, (1, 7)),
                ("branch7x7x3_3", 192, (7, 1)),
                ("branch7x7x3_4", 192, 3),
            ],
        ],
        "strided",
    )


def _block_8(channels: int, pooling: Pooling) -> _Mixed:
    """Return a block of the 8 x 8 grid: (N, C, 8, 8) -> (N, 2048, 8, 8)."""
    row, column = (1, 3), (3, 1)
    return _Mixed(
        channels,
        [
            [("branch1x1", 320, 1)],
            [("branch3x3_1", 384, 1), [("branch3x3_2a", 384, row), ("branch3x3_2b", 384, column)]],
            [
                ("branch3x3dbl_1", 448, 1),
                ("branch3x3dbl_2", 384, 3),
                [("branch3x3dbl_3a", 384, row), ("branch3x3dbl_3b", 384, column)],
            ],
        ],
        pooling,
        pooled=192,
    )
