"""Find shot cuts in a video from small thumbnails, confirmed by where the face is."""

import numpy as np
from numpy.typing import NDArray

# Thumbnails have about this many pixels a side: enough to see a cut, and almost free.
_THUMBNAIL_SIDE = 32
# A cut changes the mean grey value of thumbnail pixels by this much (0 to 255) ...
_LEAST_DIFFERENCE = 8.0
# ... and by this many times as much as the frames around it do (a moving camera changes all of them).
_TIMES_NEIGHBOURS = 3.0
_NEIGHBOURS = 8
# Landmarks move at a cut by this share of the face's size; a talking head moves about .02 a frame.
_LEAST_JUMP = 0.08
# A jump like this needs no other evidence: the tracker went over to another face.
_CERTAIN_JUMP = 0.6


class ShotDetector:
    """Collects what tells shots apart while frames pass by.

    ``differences[i]`` is how much frame i differs from the one before it, mean absolute grey value of the thumbnails.
    """

    def __init__(self) -> None:
        self.differences: list[float] = []
        self._last: NDArray[np.float32] | None = None

    def see(self, frame: NDArray[np.uint8]) -> None:
        """Look at the next frame (H, W, 3)."""
        step_y, step_x = (max(size // _THUMBNAIL_SIDE, 1) for size in frame.shape[:2])
        thumbnail = frame[step_y // 2 :: step_y, step_x // 2 :: step_x].astype(np.float32).mean(axis=2)
        self.differences.append(0.0 if self._last is None else float(np.abs(thumbnail - self._last).mean()))
        self._last = thumbnail

    def cuts(self, points: NDArray[np.float32], found: NDArray[np.bool_]) -> list[int]:
        """First frames of all shots but the first.

        Args:
            points: (T, P, D) tracked points in pixels.
            found: (T,) whether there was a face.
        """
        differences = np.array(self.differences)
        cuts = []
        for frame in range(1, len(found)):
            jump = _face_jump(points, found, frame)
            if jump is not None and jump > _CERTAIN_JUMP and found[frame]:
                cuts.append(frame)
                continue
            if differences[frame] < _LEAST_DIFFERENCE or (jump is not None and jump < _LEAST_JUMP):
                continue
            around = np.r_[differences[max(frame - _NEIGHBOURS, 1) : frame], differences[frame + 1 :][:_NEIGHBOURS]]
            if differences[frame] > _TIMES_NEIGHBOURS * (np.median(around) if len(around) else 0.0):
                cuts.append(frame)
        return cuts


def _face_jump(points: NDArray[np.float32], found: NDArray[np.bool_], frame: int) -> float | None:
    """How far the face moves into ``frame``, over the nearest frames with a face, in face sizes; None without one."""
    before = frame - 1
    while before >= 0 and not found[before]:
        before -= 1
    after = frame
    while after < len(found) and not found[after]:
        after += 1
    if before < 0 or after == len(found):
        return None
    one, two = points[before, :, :2], points[after, :, :2]
    size = float(np.linalg.norm(np.ptp(one, axis=0)))
    return float(np.linalg.norm(one - two, axis=1).mean()) / max(size, 1e-6)
