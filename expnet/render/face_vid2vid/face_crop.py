"""The square of a portrait that the networks see, and putting rendered squares back into the portrait.

Source of the square: OpenTalker/SadTalker ``src/utils/croper.py`` (``align_face``), the alignment of FFHQ (Karras et
al. 2019). There, a square that leaves the image is cut at its edge and squeezed; here, the edge is repeated, keeping
the face's proportions. A soft mask takes the place of the original's gradient-domain blending (``paste_pic.py``).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from expnet.errors import InputError
from expnet.face.landmarks import LEFT_EYE, RIGHT_EYE

SMALLEST_CROP = 100
"""Sides of less pixels show a face too small to be rendered: it would be enlarged more than two and a half times."""
_FEATHER = 0.08
"""Share of the side over which the mask rises from the edge of the square."""
_MOUTH_CORNERS = (48, 54)


@dataclass(frozen=True)
class FaceCrop:
    """A square of an image.

    Attributes:
        left: First column in pixels; may be negative.
        top: First row in pixels; may be negative.
        side: Side in pixels.
    """

    left: int
    top: int
    side: int

    def cut(self, image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """Return the square of an image (H, W, 3) at ``size`` pixels, (size, size, 3); edges are repeated."""
        rows, columns = (np.arange(first, first + self.side) for first in (self.top, self.left))
        square = image[np.clip(rows, 0, len(image) - 1)[:, None], np.clip(columns, 0, image.shape[1] - 1)]
        return _resized(square, size)

    def paste(
        self, square: NDArray[np.uint8], image: NDArray[np.uint8], mask: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Return a copy of an image (H, W, 3) with a rendered square in it.

        Args:
            square: (size, size, 3) uint8.
            image: The portrait.
            mask: Opacity from :meth:`mask` for this image.
        """
        inside = self._inside(image)
        part = image[inside]
        shown = _resized(square, self.side)[inside[0].start - self.top :, inside[1].start - self.left :]
        shown = shown[: part.shape[0], : part.shape[1]].astype(np.float32)
        pasted = image.copy()
        pasted[inside] = np.rint(part + mask[..., None] * (shown - part)).astype(np.uint8)
        return pasted

    def mask(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the opacity (h, w) of the part of the square inside an image: 1 within, falling smoothly to its edge.

        Along edges that the square shares with the image, it does not fall.
        """
        rows, columns = self._inside(image)
        height, width = image.shape[:2]
        lines = []
        for inside, length in ((rows, height), (columns, width)):
            place = np.arange(inside.start, inside.stop) + 0.5
            before = np.inf if inside.start == 0 else inside.start
            after = np.inf if inside.stop == length else inside.stop
            distance = np.minimum(place - before if np.isfinite(before) else np.inf, after - place)
            lines.append(np.clip(distance / (_FEATHER * self.side), 0.0, 1.0))
        line_y, line_x = (line * line * (3.0 - 2.0 * line) for line in lines)
        return np.outer(line_y, line_x).astype(np.float32)

    def _inside(self, image: NDArray[np.uint8]) -> tuple[slice, slice]:
        height, width = image.shape[:2]
        return (
            slice(max(self.top, 0), min(self.top + self.side, height)),
            slice(max(self.left, 0), min(self.left + self.side, width)),
        )


def face_crop(landmarks: NDArray[np.floating]) -> FaceCrop:
    """Place the square around a face.

    With the vector from eye to eye e and from the eyes to the mouth m, half the side is
    ``max(2 |e|, 1.8 |m|)`` along ``e - rot90(m)``, and the centre lies ``0.1 m`` below the eyes. The original keeps the
    square upright: it cuts the smallest upright box around the turned square.

    Args:
        landmarks: (68, 2) pixels.

    Raises:
        InputError: The face is too small.
    """
    right, left = (landmarks[list(eye)].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE))
    eyes, mouth = (right + left) / 2, landmarks[list(_MOUTH_CORNERS)].mean(axis=0)
    across, down = left - right, mouth - eyes
    axis = across - down[::-1] * [-1.0, 1.0]
    axis *= max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down)) / np.hypot(*axis)
    centre = eyes + 0.1 * down
    side = round(2.0 * float(np.abs(axis).sum()))
    if side < SMALLEST_CROP:
        raise InputError(
            f"the face is too small for a neural renderer: the square around it has {side} pixels, expected at "
            f"least {SMALLEST_CROP}; use a larger image, or the mesh renderer."
        )
    corner = np.floor(centre + 0.5 - side / 2).astype(int)
    return FaceCrop(int(corner[0]), int(corner[1]), side)


def _resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if image.shape[0] == size:
        return image
    kind = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=kind), np.uint8)
