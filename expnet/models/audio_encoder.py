"""Audio encoders: log-mel to one feature vector per video frame.

`SequenceEncoder` reads the mel of a clip once, at 80 columns/s, and samples its features at the centres of the video
frames. `WindowEncoder`, the baseline, is the network of Wav2Lip and SadTalker; it reads a window of 16 columns for each
frame, so each column is read five times.

Both take the mel of a clip with `MEL_CONTEXT` columns of audio on either side, as returned by
`expnet.audio.alignment.mel_for_frames`: column ``MEL_CONTEXT + 3.2 (i + 1/2)`` is at the centre of frame i.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from expnet.audio.alignment import MEL_CONTEXT, mel_columns
from expnet.audio.mel import MEL_BANDS
from expnet.audio.speech_encoders import FeatureSource
from expnet.errors import ConfigError, InputError

AUDIO_ENCODERS = ("sequence", "window")
WINDOW_COLUMNS = 16
TAPS = (-32, -16, 0, 16, 32)
"""Offsets from a frame's centre, in fifths of a mel column, at which features are sampled: up to two frames away."""
REACH = 6
"""Columns on either side in the receptive field of the convolutions."""


def frame_centres(frames: Tensor) -> Tensor:
    """Return the centres of frames (T,) in fifths of a column from the first: ``16 + 3.2 (i + 1/2)`` columns."""
    return 5 * MEL_CONTEXT + 16 * frames + 8


def receptive_columns(frame: int) -> tuple[int, int]:
    """Return the first column that a `SequenceEncoder` reads for a frame, and the one after the last."""
    centre = 5 * MEL_CONTEXT + 16 * frame + 8
    return (centre + TAPS[0]) // 5 - REACH, (centre + TAPS[-1]) // 5 + 2 + REACH


def check_mel(mel: Tensor, frames: int) -> None:
    """Raise InputError unless mel is (B, 80, 2 MEL_CONTEXT + ceil(3.2 frames)) or longer."""
    needed = mel_columns(frames)
    if mel.dim() != 3 or mel.shape[1] != MEL_BANDS or mel.shape[2] < needed:
        raise InputError(
            f"The mel of {frames} frames must have shape (batch, {MEL_BANDS}, {needed} or more), not "
            f"{tuple(mel.shape)}; expnet.audio.alignment.mel_for_frames computes it."
        )


LOUDNESS_WEIGHT = 2.0
"""A column that is one unit of mel (12.5 dB) louder has e^2 times the weight in the level."""
QUIETEST = -1.5
"""Speech with a level below this is raised only in part, or silence would be raised to the level of speech."""
START_LEVEL, START_WEIGHT = -0.8, 3.2
"""Average level of tracked clips (standard deviation between clips: .4), and the weight of half a second at it."""


def level_mel(mel: Tensor, valid: Tensor | None = None) -> Tensor:
    """Subtract each band's average over the speech, to remove differences of voices, microphones and recording levels.

    ``mean_b = sum_n w_n mel_bn / sum_n w_n`` with ``w_n = exp(2 * loudness_n)``, ``loudness_n`` the mean over bands:
    pauses and the silence around a clip have little weight, so the level of a window is close to that of the recording.

    Args:
        mel: (B, 80, N) in [-4, 4].
        valid: (B, T), false in padded frames, which are then left out of the average.

    Returns:
        (B, 80, N): about 0 in speech, -2 or less in silence.
    """
    loudness = mel.mean(dim=1, keepdim=True)  # (B, 1, N)
    if valid is not None:
        ends = 2 * MEL_CONTEXT + (16 * valid.sum(dim=1) + 4) // 5  # (B,), `mel_columns` of each clip's frames
        outside = torch.arange(mel.shape[-1], device=mel.device) >= ends[:, None]  # (B, N)
        loudness = loudness.masked_fill(outside[:, None], -torch.inf)
    weight = torch.softmax(LOUDNESS_WEIGHT * loudness, dim=-1)
    return subtract_level(mel, (mel * weight).sum(dim=-1, keepdim=True))


def subtract_level(mel: Tensor, mean: Tensor) -> Tensor:
    """Subtract the level (B, 80, 1 or N) from mel (B, 80, N); levels below `QUIETEST` only in part."""
    return mel - mean - (QUIETEST - mean.mean(dim=1, keepdim=True)).clamp_min(0)


def level_of(pieces: Iterable[Tensor]) -> Tensor:
    """Return the level (B, 80, 1) that `level_mel` subtracts, for a mel in pieces (B, 80, N)."""
    total = weights = torch.zeros(1, 1, 1, dtype=torch.float64)
    for mel in pieces:
        weight = (LOUDNESS_WEIGHT * mel.double().mean(dim=1, keepdim=True)).exp()  # (B, 1, N)
        total = total + (mel * weight).sum(dim=-1, keepdim=True)
        weights = weights + weight.sum(dim=-1, keepdim=True)
    return (total / weights).float()


class RunningLevel:
    """`level_mel` for live audio: the average is taken over the columns so far.

    It starts from the average of speech in general, with the weight of half a second. Sums are kept in float64, so the
    result does not depend, up to rounding, on how the columns are split into pieces.
    """

    def __init__(self) -> None:
        self._sum = torch.full((1, MEL_BANDS, 1), START_WEIGHT * START_LEVEL, dtype=torch.float64)  # (1 or B, 80, 1)
        self._weight = torch.full((1, 1, 1), START_WEIGHT, dtype=torch.float64)  # (1 or B, 1, 1)

    def __call__(self, mel: Tensor) -> Tensor:
        """Level the next columns (B, 80, N)."""
        exact = mel.double()
        weight = (LOUDNESS_WEIGHT * exact.mean(dim=1, keepdim=True)).exp()  # (B, 1, N)
        total = self._sum.to(mel.device) + (weight * exact).cumsum(dim=-1)  # (B, 80, N)
        weights = self._weight.to(mel.device) + weight.cumsum(dim=-1)  # (B, 1, N)
        self._sum, self._weight = total[..., -1:], weights[..., -1:]
        return subtract_level(exact, total / weights).to(mel.dtype)


def sample_columns(x: Tensor, fifths: Tensor) -> Tensor:
    """Interpolate linearly along the last axis.

    Args:
        x: (B, C, N).
        fifths: (P,) integer positions in fifths of a column, within [0, 5 (N - 1)]. The 3.2 columns of a frame are
            sixteen fifths, and integers stay exact for speech of any length and in exported graphs.

    Returns:
        (B, C, P).
    """
    left = torch.div(fifths, 5, rounding_mode="floor").clamp(0, x.shape[-1] - 2)
    share = (fifths - 5 * left).to(x.dtype) / 5
    return x[..., left] * (1 - share) + x[..., left + 1] * share


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, N), so that each column is normalised independently of the length."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, N)."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class SequenceEncoder(nn.Module):
    """Two convolutions over the whole mel, then five taps per frame.

    The receptive field extends over 2 + 4 columns of convolution and 6.4 of taps, less than the 16 columns of context
    on either side, so the features of a window equal those of the whole clip.

    Args:
        width: Size of the features D.
        channels: Channels of the convolutions.
        dropout: Dropout of whole channels after each convolution.
    """

    mel_mean: Tensor
    mel_std: Tensor

    def __init__(self, width: int, *, channels: int = 96, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mel_mean", torch.zeros(MEL_BANDS, 1))
        self.register_buffer("mel_std", torch.ones(MEL_BANDS, 1))
        self.enter = nn.Conv1d(MEL_BANDS, channels, 5)
        self.norm_enter = ChannelNorm(channels)
        self.deepen = nn.Conv1d(channels, channels, 5, dilation=2)
        self.norm_deepen = ChannelNorm(channels)
        # Whole channels are dropped, since neighbouring columns are too similar for dropout of single values to matter.
        self.dropout = nn.Dropout1d(dropout)
        self.project = nn.Linear(len(TAPS) * channels, width)

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Store the mean and standard deviation of the mel, either scalars or one value per band."""
        self.mel_mean.copy_(mean.reshape(-1, 1).expand(MEL_BANDS, 1))
        self.mel_std.copy_(std.reshape(-1, 1).expand(MEL_BANDS, 1).clamp_min(1e-3))

    def forward(self, mel: Tensor, frames: int) -> Tensor:
        """Encode mel (B, 80, N) to (B, T, D) for T = ``frames``."""
        check_mel(mel, frames)
        return self.at(mel, frame_centres(torch.arange(frames, device=mel.device)))

    def at(self, mel: Tensor, centres: Tensor) -> Tensor:
        """Encode mel (B, 80, N) to (B, T, D) at centres (T,), fifths of a column from its first."""
        x = (mel - self.mel_mean) / self.mel_std
        x = nn.functional.gelu(self.norm_enter(self.enter(x)))  # (B, C, N - 4), column k is mel column k + 2
        x = self.dropout(x)
        y = nn.functional.gelu(self.norm_deepen(self.deepen(x)))  # (B, C, N - 12), column k is mel column k + 6
        x = self.dropout(x[..., 4:-4] + y)
        # The convolutions remove 6 columns (30 fifths) at the start.
        fifths = (centres[:, None] - 5 * REACH + torch.tensor(TAPS, device=mel.device)).flatten()  # (T x taps)
        x = sample_columns(x, fifths)  # (B, C, T x taps)
        # Not len(centres), which would become a constant in an exported graph.
        x = x.transpose(1, 2).reshape(mel.shape[0], centres.shape[0], -1)  # (B, T, taps x C)
        return self.project(x)  # (B, T, D)


def frame_windows(mel: Tensor, frames: int) -> Tensor:
    """Cut SadTalker's 200 ms windows: 16 columns from ``trunc(80 (i - 2) / 25)`` (its generate_batch.py).

    At the ends of a clip they contain the silence around it, where SadTalker repeats the edge column.

    Args:
        mel: (B, 80, N) with context.
        frames: Number of frames T.

    Returns:
        (B, T, 80, 16).
    """
    check_mel(mel, frames)
    # 80 / 25 = 16 / 5 columns per frame, in integers and without a loop, so that any length can be exported.
    steps = torch.div(16 * (torch.arange(frames, device=mel.device) - 2), 5, rounding_mode="trunc")
    starts = MEL_CONTEXT + steps  # (T,)
    columns = starts[:, None] + torch.arange(WINDOW_COLUMNS, device=mel.device)  # (T, 16)
    return mel[:, :, columns].transpose(1, 2)  # (B, T, 80, 16)


class WindowConvolution(nn.Module):
    """The block of Wav2Lip, with its parameter names: convolution, batch norm, optional residual, ReLU."""

    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int | tuple[int, int], padding: int
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(channels_in, channels, kernel, stride, padding), nn.BatchNorm2d(channels)
        )
        self.residual = channels_in == channels and stride == 1 and padding == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W')."""
        y = self.conv_block(x)
        return nn.functional.relu(y + x if self.residual else y)


class WindowEncoder(nn.Module):
    """The audio encoder of Wav2Lip and SadTalker: 13 convolutions on a (80, 16) window of raw log-mel per frame.

    Args:
        channels: Channels of the first layers, 32 in the published network; the feature has 16 times as many (512).
    """

    def __init__(self, *, channels: int = 32) -> None:
        super().__init__()
        c = channels
        self.audio_encoder = nn.Sequential(
            WindowConvolution(1, c, 3, 1, 1),
            WindowConvolution(c, c, 3, 1, 1),
            WindowConvolution(c, c, 3, 1, 1),
            WindowConvolution(c, 2 * c, 3, (3, 1), 1),
            WindowConvolution(2 * c, 2 * c, 3, 1, 1),
            WindowConvolution(2 * c, 2 * c, 3, 1, 1),
            WindowConvolution(2 * c, 4 * c, 3, 3, 1),
            WindowConvolution(4 * c, 4 * c, 3, 1, 1),
            WindowConvolution(4 * c, 4 * c, 3, 1, 1),
            WindowConvolution(4 * c, 8 * c, 3, (3, 2), 1),
            WindowConvolution(8 * c, 8 * c, 3, 1, 1),
            WindowConvolution(8 * c, 16 * c, 3, 1, 0),
            WindowConvolution(16 * c, 16 * c, 1, 1, 0),
        )
        self.width = 16 * c

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Do nothing, since the published network reads the unnormalised mel in [-4, 4]."""

    def forward(self, mel: Tensor, frames: int) -> Tensor:
        """Encode mel (B, 80, N) to (B, T, 16 channels) for T = ``frames``."""
        windows = frame_windows(mel, frames).flatten(0, 1)[:, None]  # (B x T, 1, 80, 16)
        return self.audio_encoder(windows).flatten(1).view(mel.shape[0], frames, -1)


class FeatureEncoder(nn.Module):
    """Normalises and projects the speech features of a published network, which are used besides the mel.

    ``p = W norm(features)``, and with a context of several frames ``p + conv(gelu(p))``: a mouth shape depends on the
    phones on either side of it, which the convolution reads at exact distances.

    Args:
        source: Source of the features, the values of an `expnet.audio.speech_encoders.FeatureSource`.
        width: Size of the result D.
        dropout: Dropout of the features.
        context: Frames of the convolution, an odd number; 1 for none.
    """

    def __init__(self, source: dict[str, Any], width: int, *, dropout: float = 0.0, context: int = 1) -> None:
        super().__init__()
        self.source = FeatureSource(**source)
        self.norm = nn.LayerNorm(self.source.size)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(self.source.size, width)
        self.convolution = nn.Conv1d(width, width, context, padding=context // 2) if context > 1 else None

    def forward(self, features: Tensor | None, frames: int, valid: Tensor | None = None) -> Tensor:
        """Encode features (B, T, F) to (B, T, D) for T = ``frames``; frames that are not valid (B, T) are padding."""
        if features is None:
            raise InputError(
                f"This network needs the speech features that it was trained with, {self.source.describe()}."
            )
        if features.shape[1:] != (frames, self.source.size):
            raise InputError(
                f"The speech features of {frames} frames must have shape (batch, {frames}, {self.source.size}), not "
                f"{tuple(features.shape)}."
            )
        projected = self.project(self.dropout(self.norm(features)))
        if self.convolution is None:
            return projected
        hidden = F.gelu(projected)
        if valid is not None:  # padding is zero, like the frames that the convolution adds at the ends of a clip
            hidden = hidden * valid[..., None]
        return projected + self.convolution(hidden.transpose(1, 2)).transpose(1, 2)  # (B, T, D)


def build_audio_encoder(
    kind: str, width: int, *, channels: int, dropout: float = 0.0
) -> tuple[SequenceEncoder | WindowEncoder, int]:
    """Return one of `AUDIO_ENCODERS` and the size of its features.

    Args:
        kind: Either ``sequence`` or ``window``.
        width: Size of the features of a sequence encoder; that of a window encoder follows from its channels.
        channels: Channels of the convolutions.
        dropout: Dropout of a sequence encoder.
    """
    if kind == "sequence":
        return SequenceEncoder(width, channels=channels, dropout=dropout), width
    if kind == "window":
        window = WindowEncoder(channels=channels)
        return window, window.width
    raise ConfigError(f"audio_encoder must be one of {', '.join(AUDIO_ENCODERS)}, not {kind!r}.")
