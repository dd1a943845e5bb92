"""Clips played faster or slower, face and sound alike: what a window of training may be cut from."""

import math

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.augmentation import Samples, change_speed


def source_frames(frames: int, factor: float) -> int:
    """Frames of a clip that are read for so many frames at ``factor`` times its speed."""
    return frames if factor == 1 else math.ceil(frames * factor) + 1


def resample_frames(values: NDArray[np.generic], frames: int, factor: float) -> NDArray[np.generic]:
    """Values (N, ...) at the places of frames that are played ``factor`` times as fast, linearly between neighbours.

    Output frame i is centred on ``factor (i + 1/2)`` frames, as its sound is, so it lies at ``factor (i + 1/2) - 1/2``
    of the given ones. A truth value is true where both neighbours are.

    Args:
        values: (N, ...), numbers or truth values a frame.
        frames: how many to return.
        factor: above 1 for faster.

    Returns:
        (frames, ...)
    """
    place = np.clip(factor * (np.arange(frames) + 0.5) - 0.5, 0.0, len(values) - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, len(values) - 1)
    if values.dtype == bool:
        return values[below] & values[above]
    share = (place - below).reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
    resampled: NDArray[np.generic] = values[below] * (1 - share) + values[above] * share
    return resampled


def resample_sound(samples: Samples, begin: float, frames: int, factor: float) -> Samples:
    """The sound of frames that are played ``factor`` times as fast.

    Args:
        samples: (S,) of a clip; outside of it is silence.
        begin: where in it the first frame begins, in frames; may be negative.
        frames: how many frames to return the sound of.
        factor: above 1 for faster; pitch changes alike.

    Returns:
        (640 frames,)
    """
    first, length = round(begin * SAMPLES_PER_FRAME), frames * SAMPLES_PER_FRAME
    wanted = math.ceil(length * factor) + 1
    inside = samples[max(first, 0) : max(first + wanted, 0)]
    before = min(max(-first, 0), wanted)
    heard = np.pad(inside, (before, wanted - before - len(inside)))
    return change_speed(heard, factor)[:length]
