"""Portraits from image files: upright RGB in any format that Pillow reads, with the face tracked and fitted."""

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.fitting import fit_clip
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import FaceTracker, track_image
from expnet.media.image_reader import LARGEST_SIDE, limited, load_image
from expnet.render.lips import GapScale
from expnet.render.person_matte import person_matte


@dataclass(frozen=True)
class Portrait:
    """An image of one person with its tracked and fitted face.

    Attributes:
        image: (H, W, 3) uint8 RGB, at the size at which it is rendered.
        points: (478, 3) tracked points in pixels of the image.
        fit: Coefficients of the face, one frame, with the crop in pixels of the image.
        matte: (H, W) opacity of the person, or None.
        lips: Correction of the gap between the rendered lips, or None.
    """

    image: NDArray[np.uint8]
    points: NDArray[np.float32]
    fit: FaceCoefficients
    matte: NDArray[np.float32] | None = None
    lips: GapScale | None = None

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """The 68 landmarks (68, 2) in pixels."""
        return self.points[list(LANDMARKS_68_FROM_MEDIAPIPE), :2].astype(np.float64)


def open_portrait(
    image: str | os.PathLike[str] | NDArray[np.uint8],
    model: MorphableModel,
    *,
    max_side: int | None = LARGEST_SIDE,
    tracker: FaceTracker | None = None,
) -> Portrait:
    """Load a portrait, track its face and fit the face model to it.

    Args:
        image: An image file, or (H, W, 3) uint8 RGB.
        model: The face model to fit.
        max_side: Larger images are scaled down to this longest side; None keeps their size.
        tracker: Face tracker; None for the built-in models.

    Raises:
        InputError: The input is not an image, is too small, or does not show exactly one face.
    """
    if isinstance(image, np.ndarray):
        pixels = np.asarray(limited(Image.fromarray(image), max_side))
    else:
        pixels = load_image(image, max_side=max_side)
    try:
        track = track_image(pixels, tracker=tracker)
    except InputError as error:
        raise error if isinstance(image, np.ndarray) else InputError(f"{image}: {error}") from error
    points = track.points[0]
    return Portrait(pixels, points, fit_clip(model, track.points), person_matte(pixels, points))
