"""The rotated square of an image that a network sees, and the way back from its landmarks to the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expnet.face.mediapipe_backend import Image

Float = NDArray[np.float32]

_ENLARGED = 1.5
"""Side of the region by the longer side of the face's box (face_landmark_landmarks_to_roi.pbtxt)."""

_FRACTION_BITS = 5
_FRACTIONS = 1 << _FRACTION_BITS
"""Steps within a pixel to which OpenCV rounds places (INTER_TAB_SIZE)."""


@dataclass(frozen=True)
class Region:
    """A rectangle in an image.

    Attributes:
        x: Column of the centre in pixels.
        y: Row of the centre in pixels.
        width: Width in pixels.
        height: Height in pixels.
        angle: Rotation in radians, clockwise in the image.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0

    def crop(self, image: Image, size: int, *, low: float, zero_border: bool) -> Float:
        """Return the region as a network's input (1, size, size, 3), with values from ``low`` to 1.

        MediaPipe's image_to_tensor_converter_opencv.cc: bilinear, with the corner of the first pixel on the corner of
        the region. Places are rounded to 1/32 pixel, as OpenCV 3, with which mediapipe is built, rounds them: that
        alone makes the landmarks of a portrait differ by .001 pixels instead of .02.
        """
        import cv2

        rectangle = ((self.x, self.y), (self.width, self.height), float(np.degrees(self.angle)))
        below, corner, beside, _ = cv2.boxPoints(rectangle).astype(np.float64)
        steps = np.arange(size) * (_FRACTIONS / size)
        columns, rows = (
            np.rint(np.add.outer(steps * down, steps * across + _FRACTIONS * start)).astype(np.int32)
            for across, down, start in zip(beside - corner, below - corner, corner, strict=True)
        )  # (size, size) each, in steps
        whole = cv2.merge([_pixels(columns), _pixels(rows)])
        rest = ((rows & (_FRACTIONS - 1)) << _FRACTION_BITS | columns & (_FRACTIONS - 1)).astype(np.uint16)
        border = cv2.BORDER_CONSTANT if zero_border else cv2.BORDER_REPLICATE
        seen = cv2.remap(image, whole, rest, cv2.INTER_LINEAR, borderMode=border)
        return (seen.astype(np.float32) * np.float32((1 - low) / 255) + np.float32(low))[None]

    def to_image(self, points: Float) -> Float:
        """Return points (P, 3), of which the region spans 0 to 1, in pixels of the image."""
        centred = points[:, :2] - 0.5
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        turned = centred @ np.array([[cosine, sine], [-sine, cosine]], np.float32)
        x, y = turned[:, 0] * self.width + self.x, turned[:, 1] * self.height + self.y
        return np.stack([x, y, points[:, 2] * self.width], axis=1).astype(np.float32)


def _pixels(places: NDArray[np.int32]) -> NDArray[np.int16]:
    """Return the pixels of places in steps, as far as OpenCV counts."""
    return np.clip(places >> _FRACTION_BITS, -(1 << 15), (1 << 15) - 1).astype(np.int16)


def face_region(low: Float, high: Float, right_eye: Float, left_eye: Float) -> Region:
    """Return the square region of a face, upright in it.

    Args:
        low: Left and top of the face's box in pixels.
        high: Right and bottom of the face's box in pixels.
        right_eye: Point of the subject's right eye in pixels.
        left_eye: Point of the subject's left eye in pixels.
    """
    x, y = (low + high) / 2
    side = _ENLARGED * float(max(high - low))
    across, down = left_eye[:2] - right_eye[:2]
    return Region(float(x), float(y), side, side, float(np.arctan2(down, across)))
