"""Chooses the part of the portrait that the video shows, and its size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from expnet.animate.controls.controls import PathInput, View
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import FaceTracker
from expnet.media.image_reader import load_image
from expnet.render.portrait import Portrait, open_portrait

CROP_SIDE = 2.0
"""Side of the square around the head, as a multiple of the face's height from chin to forehead."""
CROP_RAISE = 0.08
"""How far the square's centre lies above the face's, in face heights: hair takes more room than the neck."""
# Images are read at up to this many pixels before they are cropped.
_LARGEST_SOURCE = 8192


def head_square(points: NDArray, size: tuple[int, int]) -> tuple[int, int, int]:
    """Place a square around a head, inside the image.

    Args:
        points: Tracked points (478, 3) in pixels.
        size: Height and width of the image.

    Returns:
        Left, top and side in pixels; the side is even.
    """
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    height = float(high[1] - low[1])
    side = min(int(CROP_SIDE * max(height, float(high[0] - low[0]))), *size) // 2 * 2
    centre = (low + high) / 2 - np.array([0.0, CROP_RAISE * height])
    left, top = np.clip((centre - side / 2).round().astype(int), 0, np.array(size[::-1]) - side)
    return int(left), int(top), side


def frame_portrait(
    image: PathInput | NDArray[np.uint8],
    model: MorphableModel,
    *,
    view: View,
    size: int | None,
    max_side: int,
    tracker: FaceTracker | None = None,
) -> Portrait:
    """Open a portrait with the view and size of the video.

    A crop is cut from the image at its own resolution, not from the scaled image of the full view.

    Args:
        image: Image file, or (H, W, 3) uint8 RGB.
        model: Face model to fit.
        view: ``full`` or ``crop``.
        size: Longer side in pixels; None for the image's own.
        max_side: Limit of the longer side in pixels.
        tracker: Face tracker; None for the built-in models.

    Raises:
        InputError: See `expnet.render.portrait.open_portrait`.
    """
    portrait = open_portrait(image, model, max_side=max_side, tracker=tracker)
    shown = portrait.image
    if view == "crop":
        source = image if isinstance(image, np.ndarray) else load_image(image, max_side=_LARGEST_SOURCE)
        scale = source.shape[1] / shown.shape[1]
        left, top, side = head_square(portrait.points * scale, source.shape[:2])
        shown = source[top : top + side, left : left + side]
    target = min(size or max(shown.shape[:2]), max_side)
    if shown is portrait.image and target == max(shown.shape[:2]):
        return portrait
    return open_portrait(resize_longer_side(shown, target), model, max_side=max_side, tracker=tracker)


def resize_longer_side(image: NDArray[np.uint8], longer_side: int) -> NDArray[np.uint8]:
    """Scale an image up or down so that its longer side has this many pixels."""
    height, width = image.shape[:2]
    scale = longer_side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
