"""The mel of speech that is too long to hold as a whole: a function that gives the frames that are asked for."""

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

Sound = Callable[[int, int], Tensor]
"""First frame, a multiple of five, and number of frames to their mel (B, 80, 2 x 16 + ceil(3.2 T)) with context.

Five frames are sixteen columns, so that all pieces lie on the columns of the whole."""
PIECE = 1500
"""Frames that are averaged at once, a minute."""
BLOCK = 100
"""Frames whose mel is made at once."""
_BLOCK_COLUMNS = BLOCK // 5 * 16
_BYTES = 4


class KeptSound:
    """The mel of a speech, made block by block when it is first asked for, and kept in a temporary file.

    An average and two networks hear the same speech one after the other.

    Args:
        samples: (S,) at 16 kHz.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this object)
        self._places: dict[int, int] = {}

    def __call__(self, first: int, frames: int) -> Tensor:
        """Return the mel of some frames, see `Sound`."""
        begin = first // 5 * 16
        end = begin + mel_columns(frames)
        numbers = range(begin // _BLOCK_COLUMNS, -(-end // _BLOCK_COLUMNS))
        columns = torch.cat([self._block(number) for number in numbers])  # (N, 80)
        start = begin - numbers.start * _BLOCK_COLUMNS
        return columns[start : start + end - begin].T[None]

    def late(self, delay: int) -> Sound:
        """Return the same a number of frames later, a multiple of five."""
        return lambda first, frames: self(first - delay, frames)

    def _block(self, number: int) -> Tensor:
        """Columns of `BLOCK` frames, (320, 80), those of the context before the first frame included."""
        if number not in self._places:
            mel = mel_for_frames(self.samples, number * BLOCK, BLOCK)[:, :_BLOCK_COLUMNS].T.contiguous()
            self._places[number] = self._file.tell()
            self._file.write(mel.numpy().tobytes())
            self._file.flush()
            return mel
        data = os.pread(self._file.fileno(), _BLOCK_COLUMNS * MEL_BANDS * _BYTES, self._places[number])
        return torch.frombuffer(bytearray(data), dtype=torch.float32).view(_BLOCK_COLUMNS, MEL_BANDS)


def slices(mel: Tensor) -> Sound:
    """Pieces of a mel (B, 80, N) that is there as a whole."""
    return lambda first, frames: mel[..., first // 5 * 16 : first // 5 * 16 + mel_columns(frames)]


def levelled(sound: Sound, frames: int, *, running: bool) -> Sound:
    """Level a sound by its average.

    Args:
        sound: to level.
        frames: of all of it.
        running: by the average so far, see `expnet.models.audio_encoder.RunningLevel`; such a sound is asked for from
            beginning to end, piece after piece without overlap. Else by that of the whole, which is read once for it.
    """
    if running:
        return _Running(sound)
    mean = level_of(_apart(sound, frames))
    return lambda first, count: subtract_level(sound(first, count), mean)


def _apart(sound: Sound, frames: int) -> Iterator[Tensor]:
    """Yield the columns of a sound, each once."""
    for first in range(0, frames, PIECE):
        mel = sound(first, min(PIECE, frames - first))
        last = first + PIECE >= frames
        yield mel[..., MEL_CONTEXT if first else 0 : None if last else -MEL_CONTEXT]


class _Running:
    """A sound levelled by the average so far: the columns that two pieces share are levelled once."""

    def __init__(self, sound: Sound) -> None:
        self._sound, self._level = sound, RunningLevel()
        self._shared: Tensor | None = None

    def __call__(self, first: int, frames: int) -> Tensor:
        mel = self._sound(first, frames)
        if self._shared is None:
            mel = self._level(mel)
        else:
            mel = torch.cat([self._shared, self._level(mel[..., 2 * MEL_CONTEXT :])], dim=-1)
        self._shared = mel[..., -2 * MEL_CONTEXT :]
        return mel
