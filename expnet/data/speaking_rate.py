"""Windows at another speaking rate: face and audio are played faster or slower together."""

import math

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.augmentation import Samples, change_speed


def source_frames(frames: int, factor: float) -> int:
    """Return the number of source frames needed for ``frames`` frames at ``factor`` times the speaking rate."""
    return frames if factor == 1 else math.ceil(frames * factor) + 1


def resample_frames(values: NDArray[np.generic], frames: int, factor: float) -> NDArray[np.generic]:
    """Resample per-frame values to ``factor`` times the speaking rate, linearly between neighbours.

    Output frame i is centred at ``factor (i + 1/2)`` source frames, like its audio, which is source position
    ``factor (i + 1/2) - 1/2``. A boolean is True if it is True at both neighbours.

    Args:
        values: (N, ...) numbers or booleans per frame.
        frames: Number of frames to return.
        factor: Speaking rate; above 1 is faster.

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


def resample_audio(samples: Samples, begin: float, frames: int, factor: float) -> Samples:
    """Return the audio of frames that are played ``factor`` times as fast; the pitch changes accordingly.

    Args:
        samples: (S,) audio of a clip; it is silent outside.
        begin: Start of the first frame in the clip, in frames; may be negative.
        frames: Number of frames to return audio for.
        factor: Speaking rate; above 1 is faster.

    Returns:
        (640 frames,)
    """
    first, length = round(begin * SAMPLES_PER_FRAME), frames * SAMPLES_PER_FRAME
    wanted = math.ceil(length * factor) + 1
    inside = samples[max(first, 0) : max(first + wanted, 0)]
    before = min(max(-first, 0), wanted)
    source = np.pad(inside, (before, wanted - before - len(inside)))
    return change_speed(source, factor)[:length]
