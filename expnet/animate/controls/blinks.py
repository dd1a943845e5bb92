"""Natural blinks: when they come, and how a lid moves in one."""

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import DEFAULT_FPS

BLINKS_PER_MINUTE = 17.0
"""People in conversation blink 15 to 20 times a minute."""
# Spread of the intervals (log-normal), and the shortest one, seconds.
_SPREAD, _SHORTEST = 0.6, 0.6
# Closure over time: lids shut in about 0.1 s, rest a moment, and open more slowly (seconds, closure).
_TIMES = np.array([0.0, 0.05, 0.10, 0.14, 0.20, 0.27, 0.36])
_CLOSURE = np.array([0.0, 0.65, 1.0, 1.0, 0.6, 0.2, 0.0])


def blink_track(
    frames: int,
    *,
    seed: int = 0,
    rate: float = BLINKS_PER_MINUTE,
    fps: float = DEFAULT_FPS,
) -> NDArray[np.float32]:
    """Draw the closure of the lids for a clip.

    The first blink never comes within the first half second. A longer clip begins like a shorter one.

    Args:
        frames: T.
        seed: same seed, same blinks.
        rate: blinks a minute on average; 0 for none.
        fps: frames/s.

    Returns:
        (T,) 0 open to 1 shut.
    """
    track = np.zeros(frames, np.float32)
    if rate <= 0:
        return track
    random = np.random.default_rng([seed, 0xB11])
    mean = max(60.0 / rate - _SHORTEST, 0.1)
    time = 0.5
    seconds = np.arange(frames) / fps
    while True:
        time += _SHORTEST + float(random.lognormal(np.log(mean) - 0.5 * _SPREAD**2, _SPREAD))
        length = float(random.uniform(0.85, 1.25))
        if time > frames / fps:
            return track
        near = slice(int(time * fps), int((time + _TIMES[-1] * length) * fps) + 1)  # the lids are open elsewhere
        closure = np.interp((seconds[near] - time) / length, _TIMES, _CLOSURE)
        track[near] = np.maximum(track[near], closure.astype(np.float32))
