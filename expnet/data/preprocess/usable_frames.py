"""The frames of a shot that make a clip: those with a face and audio, with short gaps interpolated."""

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.data.store.manifest import UnusableClipError

# Gaps of up to this many frames are interpolated: the tracker misses a face briefly.
LONGEST_GAP = 5
# If the audio ends at most this many frames before the video, it is padded with silence; else the clip is shortened.
_MISSING_AUDIO = 2


def interpolate_gaps(points: NDArray[np.float32], found: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Interpolate frames (T, P, D) without a face linearly; the first and the last frame must have one."""
    if found.all():
        return points
    known = np.flatnonzero(found)
    missing = np.flatnonzero(~found)
    after = np.searchsorted(known, missing)
    left, right = known[after - 1], known[after]
    weight = ((missing - left) / (right - left)).astype(points.dtype)[:, None, None]
    filled = points.copy()
    filled[missing] = points[left] * (1 - weight) + points[right] * weight
    return filled


def usable_frames(found: NDArray[np.bool_], begin: int, end: int, samples: int, min_seconds: float) -> tuple[int, int]:
    """Limit a shot to the frames that have a face and audio.

    Raises:
        UnusableClipError: If too little is left, or the face is lost for long in between.
    """
    if (end - begin) / FRAME_RATE < min_seconds:
        raise UnusableClipError(f"shorter than {min_seconds:g} s: {(end - begin) / FRAME_RATE:.2f} s")
    seen = np.flatnonzero(found[begin:end]) + begin
    if not len(seen):
        raise UnusableClipError("no face: none was found in this shot")
    begin, end = int(seen[0]), int(seen[-1]) + 1
    gaps = np.diff(seen) - 1
    if len(gaps) and gaps.max() > LONGEST_GAP:
        at = int(seen[gaps.argmax()]) / FRAME_RATE
        raise UnusableClipError(
            f"face lost: for {gaps.max()} frames from {at:.2f} s on, at most {LONGEST_GAP} are filled"
        )
    if end * SAMPLES_PER_FRAME > samples + _MISSING_AUDIO * SAMPLES_PER_FRAME:
        end = max(samples // SAMPLES_PER_FRAME, begin)
    while end > begin and not found[end - 1]:
        end -= 1
    if end == begin or (end - begin) / FRAME_RATE < min_seconds:
        raise UnusableClipError(
            f"shorter than {min_seconds:g} s: face and audio are present for {(end - begin) / FRAME_RATE:.2f} s"
        )
    return begin, end
