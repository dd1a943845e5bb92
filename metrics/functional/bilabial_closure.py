"""Lip closure: do the lips close at /m/, /b/ and /p/, and only there?

Openings are normalised by the real clip's range: 0 is its 5th percentile (shut) and 1 its 95th (wide open). This
exposes a prediction that moves too little, which a correlation does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SHUT = 0.2
"""Share of the real clip's range below which a mouth counts as shut."""
MARGIN = 1
"""Frames by which a real closure may lie beside a predicted one."""
AROUND = 5
"""Frames around a closure in which the mouth must be open at least once; a mouth that rests shut does not close."""
NARROWEST = 0.02
"""Range of the real mouth, in eye distances, below which a clip is not scored."""


@dataclass(frozen=True)
class LipClosure:
    """Lip closures of one clip; NaN where there is nothing to count.

    Attributes:
        opening: Mean over the bilabials of the smallest opening, relative to the real clip's range.
        bilabials: Number of bilabials.
        recall: Share of the bilabials closed by the real lips that the predicted lips close as well.
        real_closures: Number of bilabials closed by the real lips.
        precision: Share of the predicted closures, in frames of speech, at which the real lips are shut within a frame.
        speech_frames: Number of frames with speech.
    """

    opening: float
    bilabials: int
    recall: float
    real_closures: int
    precision: float
    speech_frames: int


def lip_closure(
    predicted: Tensor, real: Tensor, windows: Sequence[slice], *, valid: Tensor, silent: Tensor
) -> LipClosure:
    """Compare the closures of a predicted mouth with those of the real mouth.

    Args:
        predicted: (T,) Mouth opening in eye distances, ``functional.mouth_opening``.
        real: (T,) Mouth opening of the real clip.
        windows: Frames of each bilabial, the frames of the phoneme and one on either side.
        valid: (T,) bool, frames that were tracked.
        silent: (T,) bool, frames without speech, in which shut lips are not a closure.
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
    """Frames (T,) in which the mouth is shut and is open shortly before or after."""
    return (opening < SHUT) & _widened(opening >= SHUT, AROUND)


def _widened(mask: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """Dilate a mask (T,) by ``margin`` frames on either side."""
    return np.convolve(mask, np.ones(2 * margin + 1), mode="same")[: len(mask)] > 0.5


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else math.nan
