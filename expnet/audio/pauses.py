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
LOUD = 0.95
"""The quantile of the levels of a recording that counts as loud speech."""
FLOOR = -60.0
"""Level in dBFS below which a frame is quiet in any case."""
MARGIN = 3
"""Frames at both ends of a quiet run that do not belong to the pause: lips move before the sound, and settle after."""
_BLOCK = 1500
# Levels of a stream are counted in steps of this many dB from the lowest on; the first guess counts as two seconds.
_LOWEST, _STEP = -120.0, 0.5
_ORDINARY, _PRIOR = -20.0, 50.0


def pauses(samples: Samples, frames: int) -> NDArray[np.bool_]:
    """Return in which frames (T,) a recording pauses.

    The rule is that of `expnet.metrics.functional.silent_frames`, except that the shortest pauses count as well.

    Args:
        samples: (S,) at 16 kHz; what is missing counts as silence.
        frames: Number of frames T.
    """
    level = np.empty(frames)
    for begin in range(0, frames, _BLOCK):
        end = min(begin + _BLOCK, frames)
        part = np.asarray(samples[begin * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME], np.float64)
        level[begin:end] = frame_levels(np.pad(part, (0, (end - begin) * SAMPLES_PER_FRAME - len(part))))
    return quiet(level, float(np.quantile(level, LOUD)))


def frame_levels(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the level (T,) of the frames of samples (640 T,) in dBFS."""
    power = np.square(samples.astype(np.float64)).reshape(-1, SAMPLES_PER_FRAME).mean(axis=1)
    return np.asarray(10.0 * np.log10(power + 1e-12))


def quiet(level: NDArray[np.float64], peak: float) -> NDArray[np.bool_]:
    """Return which frames (T,) lie in a pause.

    Args:
        level: (T,) in dBFS.
        peak: Level of loud speech, the quantile `LOUD` of a recording.
    """
    loud = level > max(peak - BELOW_PEAK, FLOOR)
    near = np.convolve(loud, np.ones(2 * MARGIN + 1), mode="full")[MARGIN : MARGIN + len(level)] > 0.5
    return ~near


class RunningPeak:
    """The quantile `LOUD` of the levels so far, in constant memory.

    It starts at an ordinary level with the weight of two seconds, so that noise before the first word is no speech.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(round(-_LOWEST / _STEP) + 1)
        self._counts[self._bins(np.array([_ORDINARY]))] = _PRIOR

    def __call__(self, level: NDArray[np.float64]) -> float:
        """Add the levels (T,) of the next frames in dBFS, and return the quantile, to `_STEP` dB."""
        np.add.at(self._counts, self._bins(level), 1.0)
        share = np.cumsum(self._counts) / self._counts.sum()
        return _LOWEST + _STEP * float(np.searchsorted(share, LOUD))

    def _bins(self, level: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.clip(np.round((level - _LOWEST) / _STEP), 0, len(self._counts) - 1).astype(np.intp)
