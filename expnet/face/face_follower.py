"""Staying with one face in a video that shows several."""

import numpy as np
from numpy.typing import NDArray

from expnet.face.mediapipe_backend import Box, Image, MeshSession, box_of, overlap

CHECK_EVERY = 25
"""Frames between two detections of all faces."""


class FaceFollower:
    """Keeps one session on one face.

    Args:
        session: A new session.
    """

    def __init__(self, session: MeshSession) -> None:
        self.session = session
        self.last: NDArray[np.float32] | None = None
        self.rivals = False
        self.count = 0

    def step(self, frame: Image) -> NDArray[np.float32] | None:
        """Return the points of the followed face in the next frame."""
        boxes: list[Box] = []
        if self.count % CHECK_EVERY == 0:
            boxes = self.session.boxes(frame)
            self.rivals = len(boxes) > 1
        self.count += 1
        if self.last is None and self.rivals:
            return self._lock(frame, boxes or self.session.boxes(frame))
        points = self.session.process(frame)
        if self.rivals and (points is None or self._jumped(points)):
            return self._lock(frame, boxes or self.session.boxes(frame))
        self.last = points
        return points

    def _jumped(self, points: NDArray[np.float32]) -> bool:
        return self.last is not None and overlap(box_of(points), box_of(self.last)) < 0.3

    def _lock(self, frame: Image, boxes: list[Box]) -> NDArray[np.float32] | None:
        """Find the followed face again, or else the largest, in a frame in which all others are masked."""
        chosen = boxes[0] if boxes else None
        if self.last is not None:
            chosen = next((box for box in boxes if overlap(box, box_of(self.last)) > 0.3), chosen)
        self.session.restart()
        self.last = self.session.process(frame if chosen is None else only_box(frame, chosen))
        return self.last


def only_box(frame: Image, box: Box, *, margin: float = 0.5) -> Image:
    """Return a copy of the frame that is grey outside a box and a margin, so that no other face is found."""
    left, top, right, bottom = box
    wide, high = margin * (right - left), margin * (bottom - top)
    rows = slice(max(int(top - high), 0), max(int(bottom + high), 0))
    columns = slice(max(int(left - wide), 0), max(int(right + wide), 0))
    masked = np.full_like(frame, 128)
    masked[rows, columns] = frame[rows, columns]
    return masked
