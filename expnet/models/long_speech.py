"""The mel of speech that is too long to hold as a whole: a function that gives the frames that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from expnet.audio.alignment import MEL_CONTEXT, mel_columns, mel_for_frames
from expnet.audio.stored import Samples
from expnet.models.audio_encoder import RunningLevel, level_of, subtract_level

Sound = Callable[[int, int], Tensor]
"""First frame, a multiple of five, and number of frames to their mel (B, 80, 2 x 16 + ceil(3.2 T)) with context.

Five frames are sixteen columns, so that all pieces lie on the columns of the whole."""
PIECE = 1500
"""Frames whose mel is made at once, a minute."""


def sound_of(samples: Samples, *, delay: int = 0) -> Sound:
    """The mel of samples (S,), made piece by piece, and late by a number of frames, a multiple of five."""
    return lambda first, frames: mel_for_frames(samples, first - delay, frames)[None]


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
