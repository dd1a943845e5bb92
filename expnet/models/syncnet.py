"""SyncNet, the network behind LSE-D, LSE-C and the audio-visual offset.

Two towers map 0.2 s of lips and 0.2 s of audio to 1024 features each, which are close to each other for lips and audio
in sync (Chung and Zisserman, "Out of time", ACCV-W 2016). The layers and the names of the weights are those of
``syncnet_v2.model`` (https://github.com/joonson/syncnet_python), which `load_syncnet` reads unchanged; the weights
belong to the authors and are not part of this package. `expnet.metrics.measure_sync` computes the metrics of a clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from expnet.models.published_weights import fill, read_weights

WINDOW_FRAMES = 5
"""Video frames of a window, 0.2 s."""
WINDOW_COLUMNS = 20
"""Cepstral columns of a window, 0.2 s."""
COLUMNS_PER_FRAME = 4
CEPSTRA = 13
FACE_SIZE = 224
FEATURES = 1024
# Windows that go through a tower at once: a CPU is fastest while the activations fit its caches, a GPU when it is
# fully occupied.
_LIP_BATCH_CPU, _LIP_BATCH = 8, 64
_AUDIO_BATCH = 256


class SyncNet(nn.Module):
    """The two towers, for evaluation only: batch normalisation always uses the stored statistics.

    The video tower runs as two-dimensional convolutions in channels-last memory: only its first layer extends over
    time, and five frames of three channels are fifteen channels. Normalisations are folded into the convolutions
    before them, and the ReLU moves behind the pooling, with which it commutes. All of this is exact up to rounding:
    features differ from the plain computation by less than 1e-5 of their magnitude.
    """

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _audio_tower()
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = _lip_tower()
        self.eval()

    def forward(self, frames: Tensor, cepstra: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of every window of a clip; windows start at every video frame.

        Args:
            frames: (T, 3, 224, 224) face crops, channels blue, green, red, values 0..255, uint8 or float, T >= 5.
            cepstra: (13, N) cepstra of 16-bit samples, 100 columns/s, N >= 20.

        Returns:
            Lips (T - 4, 1024) and audio (T', 1024), T' = (N - 20) // 4 + 1.
        """
        return self.lip_features(frames), self.audio_features(cepstra)

    def lip_features(self, frames: Tensor) -> Tensor:
        """Return the features of all windows of five frames, (T, 3, 224, 224) -> (T - 4, 1024)."""
        if frames.ndim != 4 or frames.shape[1:] != (3, FACE_SIZE, FACE_SIZE) or len(frames) < WINDOW_FRAMES:
            raise ValueError(f"frames must be (T >= 5, 3, {FACE_SIZE}, {FACE_SIZE}), got {tuple(frames.shape)}")
        windows = len(frames) - WINDOW_FRAMES + 1
        batch = _LIP_BATCH_CPU if frames.device.type == "cpu" else _LIP_BATCH
        stages = _stages(self.netcnnlip)
        features = []
        for start in range(0, windows, batch):
            piece = frames[start : min(start + batch, windows) + WINDOW_FRAMES - 1].to(stages[0].weight.dtype)
            x = piece.unfold(0, WINDOW_FRAMES, 1)  # (t, 3, 224, 224, 5)
            x = x.permute(0, 1, 4, 2, 3).reshape(-1, 3 * WINDOW_FRAMES, FACE_SIZE, FACE_SIZE)  # (t, 15, 224, 224)
            features.append(_run(stages, x))
        return self.netfclip(torch.cat(features))

    def audio_features(self, cepstra: Tensor) -> Tensor:
        """Return the features of the windows of twenty columns that start at every fourth, (13, N) -> (T', 1024).

        The windows cannot share their convolutions, because the tower pads each window separately.
        """
        if cepstra.ndim != 2 or len(cepstra) != CEPSTRA or cepstra.shape[1] < WINDOW_COLUMNS:
            raise ValueError(f"cepstra must be ({CEPSTRA}, N >= {WINDOW_COLUMNS}), got {tuple(cepstra.shape)}")
        stages = _stages(self.netcnnaud)
        windows = cepstra.unfold(1, WINDOW_COLUMNS, COLUMNS_PER_FRAME).transpose(0, 1)  # (T', 13, 20)
        pieces = windows[:, None].to(stages[0].weight.dtype).split(_AUDIO_BATCH)  # (t, 1, 13, 20) each
        return self.netfcaud(torch.cat([_run(stages, piece) for piece in pieces]))

    def train(self, mode: bool = True) -> SyncNet:
        """Stay in evaluation mode, because folding uses the stored statistics."""
        return super().train(False)


def load_syncnet(path: str | Path) -> SyncNet:
    """Read ``syncnet_v2.model``, without running any code in the file.

    Raises:
        MissingAssetError: There is no such file.
        InputError: It is not a weight file, or belongs to another network.
    """
    return fill(SyncNet(), read_weights(path), path)


def _audio_tower() -> nn.Sequential:
    """Return the audio tower, (B, 1, 13, 20) -> (B, 512, 1, 1)."""
    return nn.Sequential(
        *_block(nn.Conv2d(1, 64, 3, padding=1)),
        nn.MaxPool2d(1, stride=1),  # does nothing, but the numbering of the published weights counts it
        *_block(nn.Conv2d(64, 192, 3, padding=1)),
        nn.MaxPool2d(3, stride=(1, 2)),
        *_block(nn.Conv2d(192, 384, 3, padding=1)),
        *_block(nn.Conv2d(384, 256, 3, padding=1)),
        *_block(nn.Conv2d(256, 256, 3, padding=1)),
        nn.MaxPool2d(3, stride=2),
        *_block(nn.Conv2d(256, 512, (5, 4))),
    )


def _lip_tower() -> nn.Sequential:
    """Return the lip tower, (B, 3, 5, 224, 224) -> (B, 512, 1, 1, 1)."""
    halve = (1, 2, 2)
    return nn.Sequential(
        *_block(nn.Conv3d(3, 96, (5, 7, 7), stride=halve)),
        nn.MaxPool3d((1, 3, 3), stride=halve),
        *_block(nn.Conv3d(96, 256, (1, 5, 5), stride=halve, padding=(0, 1, 1))),
        nn.MaxPool3d((1, 3, 3), stride=halve, padding=(0, 1, 1)),
        *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
        *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
        *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
        nn.MaxPool3d((1, 3, 3), stride=halve),
        *_block(nn.Conv3d(256, 512, (1, 6, 6))),
    )


def _head() -> nn.Sequential:
    """Return the fully connected layers, (B, 512) -> (B, 1024)."""
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, FEATURES))


def _block(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, ...]:
    """Return a convolution followed by its normalisation and ReLU."""
    normalisation = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return convolution, normalisation(convolution.out_channels), nn.ReLU()


@dataclass
class _Stage:
    """A convolution over the image with its normalisation folded in, the pooling after it if any, and the ReLU."""

    weight: Tensor
    bias: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    pool: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        x = nn.functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        return (x if self.pool is None else self.pool(x)).relu_()


def _stages(tower: nn.Sequential) -> list[_Stage]:
    """Fold a tower into stages; the time axis of a kernel is merged into the channels."""
    stages: list[_Stage] = []
    for layer, following in pairwise(tower):
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            folded = fuse_conv_bn_eval(layer, cast(nn.BatchNorm2d | nn.BatchNorm3d, following))
            weight = folded.weight.flatten(1, -3).contiguous(memory_format=torch.channels_last)
            stages.append(_Stage(weight, cast(Tensor, folded.bias), _spatial(layer.stride), _spatial(layer.padding)))
        elif isinstance(layer, nn.MaxPool2d | nn.MaxPool3d):
            stages[-1].pool = partial(
                nn.functional.max_pool2d,
                kernel_size=_spatial(layer.kernel_size),
                stride=_spatial(layer.stride),
                padding=_spatial(layer.padding),
            )
    return stages


def _spatial(size: Any) -> tuple[int, int]:
    """Return height and width of an option of a layer."""
    return (size, size) if isinstance(size, int) else (size[-2], size[-1])


def _run(stages: list[_Stage], x: Tensor) -> Tensor:
    """Map (B, C, H, W) to (B, 512)."""
    x = x.contiguous(memory_format=torch.channels_last)
    for stage in stages:
        x = stage(x)
    return x.flatten(1)
