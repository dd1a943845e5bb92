"""Do the lips shut where the sound says that they must? At /m/, /b/ and /p/, and nowhere else.

Openings are measured against the real clip's own range: 0 is its 5th percentile (shut), 1 its 95th (wide open). A
prediction that moves too little shows there, where a correlation does not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE
from expnet.audio.speech_synthesis import Phoneme

BILABIALS = frozenset("mbpɓʙʘ")
SHUT = 0.2
"""Share of the real clip's range below which a mouth counts as shut."""
MARGIN = 1
"""Frames around a sound in which the lips may shut for it."""
AROUND = 5
"""Frames around a closure in which the mouth must be open once: a mouth that rests shut does not close."""
NARROWEST = 0.02
"""Range of a real mouth, in eye distances, below which a clip says nothing about closures."""


@dataclass(frozen=True)
class LipClosure:
    """Closures of one clip; NaN where there is nothing to count.

    Attributes:
        opening: mean over the bilabials of the smallest opening, in the real clip's range.
        bilabials: how many.
        recall: share of the bilabials at which the real lips close where the predicted lips do, too.
        real_closures: how many of those.
        precision: share of the frames of speech in which the predicted lips close where the real lips are shut, give or
            take a frame.
        speech_frames: frames in which somebody speaks, shut lips or not.
    """

    opening: float
    bilabials: int
    recall: float
    real_closures: int
    precision: float
    speech_frames: int


def bilabial_windows(phonemes: Sequence[Phoneme], frames: int) -> tuple[slice, ...]:
    """Frames in which the lips may shut for each /m/, /b/ and /p/; neighbours such as /mp/ are one."""
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


def lip_closure(
    predicted: Tensor, real: Tensor, windows: Sequence[slice], *, valid: Tensor, silent: Tensor
) -> LipClosure:
    """Compare the closures of a predicted mouth with the real one's.

    Args:
        predicted: (T,) opening of the mouth in eye distances, see `expnet.metrics.functional.mouth_opening`.
        real: (T,), the same of the real clip.
        windows: frames of each bilabial, see `bilabial_windows`.
        valid: (T,) bool, frames that were tracked.
        silent: (T,) bool, frames in which nobody speaks: shut lips there are no closure.
    """
    inside = valid.numpy()
    low, high = np.quantile(real.double().numpy()[inside], [0.05, 0.95])
    if high - low < NARROWEST:
        return LipClosure(math.nan, 0, math.nan, 0, math.nan, 0)
    drawn, tracked = ((opening.double().numpy() - low) / (high - low) for opening in (predicted, real))
    known = [window for window in windows if inside[window].all()]
    smallest = np.array([drawn[window].min() for window in known])
    closing = [_closing(opening) for opening in (drawn, tracked)]
    both = np.array([[series[window].any() for series in closing] for window in known], dtype=bool).reshape(-1, 2)
    found = both[both[:, 1], 0]
    speech = inside & ~silent.numpy()
    near = _widened(tracked < SHUT, MARGIN)
    return LipClosure(
        opening=_mean(smallest),
        bilabials=len(smallest),
        recall=_mean(found),
        real_closures=len(found),
        precision=_mean(near[speech & closing[0]]),
        speech_frames=int(speech.sum()),
    )


def _closing(opening: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Frames (T,) in which a mouth is shut that is open a moment before or after."""
    return (opening < SHUT) & _widened(opening >= SHUT, AROUND)


def _widened(mask: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """A mask (T,) with ``margin`` frames more on either side of what holds."""
    return np.convolve(mask, np.ones(2 * margin + 1), mode="same")[: len(mask)] > 0.5


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else math.nan
