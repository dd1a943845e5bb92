"""Pieces of clips whose audio is shifted by a known number of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.data.store.track import Track

LONGEST_PLANTED = 7


def shifted_pieces(track: Track, frames: int, generator: np.random.Generator) -> Iterator[tuple[Track, int]]:
    """Yield half-overlapping pieces of a clip, each with its audio early by a random, known number of frames."""
    margin = LONGEST_PLANTED
    for first in range(margin, track.frames - frames - margin + 1, max(frames // 2, 1)):
        planted = int(generator.integers(-margin, margin + 1))
        begin = (first + planted) * SAMPLES_PER_FRAME
        yield (
            replace(
                track.window(first, frames),
                audio=track.audio[begin : begin + frames * SAMPLES_PER_FRAME],
            ),
            planted,
        )
