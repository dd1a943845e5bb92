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


# A measured closure above the first value is a blink if its peak reaches the second.
_BLINK_BEGINS, _BLINK_REACHES = 0.3, 0.45
# Its eyes count as shut at this share of the peak; seconds from the beginning of a drawn blink to its middle.
_SHUT, _PEAK = 0.8, 0.12
# A measured closure that lasts is a glance down or a squint, not a blink: eyes stay shut for as long as this, in
# seconds, and lids fall again no sooner after that than the second value.
_LONGEST_SHUT, _APART = 0.12, 0.6


def clear_blinks(closure: NDArray[np.floating], *, fps: float = DEFAULT_FPS) -> NDArray[np.float32]:
    """Turn a sampled closure of the eyelids into blinks that shut the eyes.

    When the eyes blink is that of the sample. How the eyelids move is that of `blink_track`: at 25 frames/s a blink
    lasts a few frames, and measured ones are often only half closed. They are shut for 0.12 s at most, and blinks are
    at least 0.6 s apart, of which the first one is kept.

    Args:
        closure: (T,) from 0, open, to 1, closed.
        fps: Frame rate.

    Returns:
        (T,) from 0, open, to 1, closed.
    """
    track, free = np.zeros(len(closure), np.float32), 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closure > _BLINK_BEGINS, [0]]).astype(int)))
    for begin, end in edges.reshape(-1, 2):
        part = closure[begin:end]
        if part.max() < _BLINK_REACHES:
            continue
        first, last = begin + np.flatnonzero(part >= _SHUT * part.max())[[0, -1]]
        if first < free:
            continue
        last = min(last, first + round(_LONGEST_SHUT * fps) - 1)
        free = last + round(_APART * fps)
        near = np.arange(max(first - round(_PEAK * fps), 0), min(last + round(_TIMES[-1] * fps), len(closure)))
        since = np.minimum(near - first, 0) + np.maximum(near - last, 0)  # frames before and after the eyes are shut
        track[near] = np.maximum(track[near], np.interp(_PEAK + since / fps, _TIMES, _CLOSURE))
    return track


class LiveBlinks:
    """`clear_blinks` for a closure that arrives piece by piece, 0.12 s late: that long before they shut, lids move.

    The eyes count as shut from the first frame that makes a blink of a closure, not from a share of its later peak.

    Args:
        fps: Frame rate.
    """

    def __init__(self, *, fps: float = DEFAULT_FPS) -> None:
        self._fps, self._late = fps, round(_PEAK * fps)
        self._now, self._free, self._peak, self._shut = 0, 0, 0.0, False
        self._begun: int | None = None  # frame in which the eyes shut; None where it is too soon for another blink
        self._blinks: list[list[int]] = []  # first and last frame in which the eyes are shown shut

    def __call__(self, closure: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return what is shown (T,) in the next frames, whose sampled closure is (T,)."""
        return np.array([self._next(float(value)) for value in closure], np.float32)

    def _next(self, closure: float) -> float:
        now = self._now
        self._peak = max(self._peak, closure) if closure > _BLINK_BEGINS else 0.0
        if self._peak == 0.0:
            self._shut = False
        elif self._peak >= _BLINK_REACHES and closure >= _SHUT * self._peak:
            if not self._shut:
                self._begun = now if now >= self._free else None
                self._shut = True
            if self._begun is not None and now - self._begun < round(_LONGEST_SHUT * self._fps):
                shown = now + self._late
                if now == self._begun:
                    self._blinks.append([shown, shown])
                self._blinks[-1][1], self._free = shown, now + round(_APART * self._fps)
        self._now += 1
        self._blinks = [blink for blink in self._blinks if now - blink[1] < _TIMES[-1] * self._fps]
        since = [min(now - first, 0) + max(now - last, 0) for first, last in self._blinks]
        return max((float(np.interp(_PEAK + frames / self._fps, _TIMES, _CLOSURE)) for frames in since), default=0.0)


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
