"""Where a recording pauses.

The rule stands here again, in NumPy and in constant memory, because `expnet.metrics` imports torchmetrics, which
animating a portrait does not need.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.stored_samples import Samples

BELOW_PEAK = 30.0
"""A frame is quiet if its level lies this many dB below the 95th percentile of the recording."""
FLOOR = -60.0
"""Level in dBFS below which a frame is quiet in any case."""
MARGIN = 3
"""Frames at both ends of a quiet run that do not belong to the pause: lips move before the sound, and settle after."""
_BLOCK = 1500


def pauses(samples: Samples, frames: int) -> NDArray[np.bool_]:
    """Return in which frames (T,) a recording pauses.

    The rule is that of `expnet.metrics.functional.silent_frames`, except that the shortest pauses count as well.

    Args:
        samples: (S,) at 16 kHz; what is missing counts as silence.
        frames: Number of frames T.
    """
    power = np.zeros(frames)
    for begin in range(0, frames, _BLOCK):
        end = min(begin + _BLOCK, frames)
        part = np.asarray(samples[begin * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME], np.float64)
        padded = np.pad(part, (0, (end - begin) * SAMPLES_PER_FRAME - len(part)))
        power[begin:end] = np.square(padded).reshape(-1, SAMPLES_PER_FRAME).mean(axis=1)
    level = 10.0 * np.log10(power + 1e-12)  # dBFS
    loud = level > max(float(np.quantile(level, 0.95)) - BELOW_PEAK, FLOOR)
    near = np.convolve(loud, np.ones(2 * MARGIN + 1), mode="full")[MARGIN : MARGIN + frames] > 0.5
    return ~near
