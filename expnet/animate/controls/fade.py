"""A smooth transition from the portrait to a motion."""

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE


def fade_in(frames: int, seconds: float, first: int = 0) -> NDArray[np.float64]:
    """Weights (T,) that rise smoothly from exactly 0 at frame 0 to 1 after some seconds.

    Args:
        frames: Number of frames T.
        seconds: Duration of the rise.
        first: Number of the first of these frames, in a motion that is computed piece by piece.
    """
    share = np.clip((first + np.arange(frames)) / (seconds * FRAME_RATE), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
