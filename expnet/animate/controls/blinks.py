"""Natural blinks: when they occur, and how the eyelids move in one."""

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import DEFAULT_FPS

BLINKS_PER_MINUTE = 17.0
"""People in conversation blink 15 to 20 times a minute."""
# Spread of the intervals (log-normal) and the shortest interval, in seconds.
_SPREAD, _SHORTEST = 0.6, 0.6
# Closure over time: eyelids close within about 0.1 s, rest briefly, and open more slowly (seconds, closure).
_TIMES = np.array([0.0, 0.05, 0.10, 0.14, 0.20, 0.27, 0.36])
_CLOSURE = np.array([0.0, 0.65, 1.0, 1.0, 0.6, 0.2, 0.0])


def blink_track(
    frames: int,
    *,
    seed: int = 0,
    rate: float = BLINKS_PER_MINUTE,
    fps: float = DEFAULT_FPS,
) -> NDArray[np.float32]:
    """Draw the closure of the eyelids for a clip.

    No blink starts within the first half second. A longer clip begins like a shorter one.

    Args:
        frames: Number of frames T.
        seed: The same seed gives the same blinks.
        rate: Average number of blinks a minute; 0 for none.
        fps: Frame rate.

    Returns:
        (T,) from 0, open, to 1, closed.
    """
    track = np.zeros(frames, np.float32)
    if rate <= 0:
        return track
    random = np.random.default_rng([seed, 0xB11])
    mean = max(60.0 / rate - _SHORTEST, 0.1)
    start = 0.5
    seconds = np.arange(frames) / fps
    while True:
        start += _SHORTEST + float(random.lognormal(np.log(mean) - 0.5 * _SPREAD**2, _SPREAD))
        length = float(random.uniform(0.85, 1.25))
        if start > frames / fps:
            return track
        # Only frames within the blink are touched; the eyelids are open elsewhere.
        near = slice(int(start * fps), int((start + _TIMES[-1] * length) * fps) + 1)
        closure = np.interp((seconds[near] - start) / length, _TIMES, _CLOSURE)
        track[near] = np.maximum(track[near], closure.astype(np.float32))
