"""The frames in which lips may close for /m/, /b/ and /p/, from phonemes with their times."""

from __future__ import annotations

import math
from collections.abc import Sequence

from expnet.audio.alignment import FRAME_RATE
from expnet.audio.speech_synthesis import Phoneme

BILABIALS = frozenset("mbpɓʙʘ")
MARGIN = 1
"""Frames around a phoneme in which the lips may close for it."""


def bilabial_windows(phonemes: Sequence[Phoneme], frames: int) -> tuple[slice, ...]:
    """Frames in which the lips may close for each /m/, /b/ and /p/; adjacent ones, such as /mp/, are merged."""
    windows: list[tuple[int, int]] = []
    for phoneme in phonemes:
        if phoneme.symbol.strip("ˈˌ")[:1] not in BILABIALS:
            continue
        begin = max(math.floor(phoneme.start * FRAME_RATE) - MARGIN, 0)
        end = min(math.ceil(phoneme.end * FRAME_RATE) + MARGIN, frames)
        if windows and begin < windows[-1][1] - 2 * MARGIN + 1:
            begin = windows.pop()[0]
        if begin < end:
            windows.append((begin, end))
    return tuple(slice(*window) for window in windows)
