"""The mel spectrogram of speech that is too long to hold in memory: a function that returns the frames asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from expnet.audio.alignment import MEL_CONTEXT, mel_columns, mel_for_frames
from expnet.audio.mel import MEL_BANDS
from expnet.audio.stored_samples import Samples
from expnet.models.audio_encoder import RunningLevel, level_of, subtract_level

MelSource = Callable[[int, int], Tensor]
"""Maps a first frame and a number of frames T to their mel with context, (B, 80, 2 x 16 + ceil(3.2 T)).

The first frame is a multiple of five: five frames are sixteen columns, so every piece lies on the columns of the whole.
"""
PIECE = 1500
"""Frames (one minute) over which the level is averaged at once."""
BLOCK = 100
"""Frames whose mel is computed at once."""
_BLOCK_COLUMNS = BLOCK // 5 * 16
_BYTES = 4


class CachedMel:
    """A `MelSource` that computes each block when it is first asked for and keeps it in a temporary file.

    Levelling and two networks read the same speech in turn, so the mel would otherwise be computed three times.

    Args:
        samples: (S,) at 16 kHz.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this object)
        self._offsets: dict[int, int] = {}

    def __call__(self, first: int, frames: int) -> Tensor:
        """Return the mel of some frames; see `MelSource`."""
        begin = first // 5 * 16
        end = begin + mel_columns(frames)
        numbers = range(begin // _BLOCK_COLUMNS, -(-end // _BLOCK_COLUMNS))
        columns = torch.cat([self._block(number) for number in numbers])  # (N, 80)
        start = begin - numbers.start * _BLOCK_COLUMNS
        return columns[start : start + end - begin].T[None]

    def delayed(self, delay: int) -> MelSource:
        """Return the same mel, delayed by a number of frames that is a multiple of five."""
        return lambda first, frames: self(first - delay, frames)

    def _block(self, number: int) -> Tensor:
        """Return the columns of `BLOCK` frames, (320, 80), counted from the context before the first frame."""
        if number not in self._offsets:
            mel = mel_for_frames(self.samples, number * BLOCK, BLOCK)[:, :_BLOCK_COLUMNS].T.contiguous()
            self._offsets[number] = self._file.tell()
            self._file.write(mel.numpy().tobytes())
            self._file.flush()
            return mel
        data = os.pread(self._file.fileno(), _BLOCK_COLUMNS * MEL_BANDS * _BYTES, self._offsets[number])
        return torch.frombuffer(bytearray(data), dtype=torch.float32).view(_BLOCK_COLUMNS, MEL_BANDS)


def mel_slices(mel: Tensor) -> MelSource:
    """Return a source of pieces of a mel (B, 80, N) that is already in memory."""
    return lambda first, frames: mel[..., first // 5 * 16 : first // 5 * 16 + mel_columns(frames)]


def level_source(source: MelSource, frames: int, *, running: bool) -> MelSource:
    """Level a source by its average; see `expnet.models.audio_encoder.level_mel`.

    Args:
        source: The source to level.
        frames: Length of the whole speech in frames.
        running: Level by the average so far, see `expnet.models.audio_encoder.RunningLevel`; the result must then be
            read from beginning to end, piece after piece without overlap. Otherwise by the average of the whole, for
            which the source is read once.
    """
    if running:
        return _RunningSource(source)
    mean = level_of(_without_overlap(source, frames))
    return lambda first, count: subtract_level(source(first, count), mean)


def _without_overlap(source: MelSource, frames: int) -> Iterator[Tensor]:
    """Yield every column of a source once."""
    for first in range(0, frames, PIECE):
        mel = source(first, min(PIECE, frames - first))
        last = first + PIECE >= frames
        yield mel[..., MEL_CONTEXT if first else 0 : None if last else -MEL_CONTEXT]


class _RunningSource:
    """A source levelled by the average so far; the columns that two pieces share are levelled once."""

    def __init__(self, source: MelSource) -> None:
        self._source, self._level = source, RunningLevel()
        self._shared: Tensor | None = None

    def __call__(self, first: int, frames: int) -> Tensor:
        mel = self._source(first, frames)
        if self._shared is None:
            mel = self._level(mel)
        else:
            mel = torch.cat([self._shared, self._level(mel[..., 2 * MEL_CONTEXT :])], dim=-1)
        self._shared = mel[..., -2 * MEL_CONTEXT :]
        return mel
