"""Portraits from image files: whatever a camera or an editor writes, upright RGB, the face tracked and fitted."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.fitting import fit_clip
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import track_image
from expnet.render.person_matte import person_matte

LARGEST_SIDE = 1024
"""Larger portraits are scaled down to this many pixels."""
SMALLEST_SIDE = 64
"""Smaller pictures cannot hold a face that can be tracked and shown."""


@dataclass(frozen=True)
class Portrait:
    """A picture of one person, and where the face is.

    Attributes:
        image: (H, W, 3) uint8 RGB, at the size it is rendered at.
        points: (478, 3) tracked points in its pixels.
        fit: coefficients of the face, one frame, crop in its pixels.
        matte: (H, W) opacity of the person, or None.
    """

    image: NDArray[np.uint8]
    points: NDArray[np.float32]
    fit: FaceCoefficients
    matte: NDArray[np.float32] | None = None


def load_image(path: str | os.PathLike[str], *, max_side: int | None = LARGEST_SIDE) -> NDArray[np.uint8]:
    """Read an image file as upright 8-bit RGB.

    EXIF rotation is applied; transparency is laid on white; grey, palette, CMYK, 16-bit and floating-point pictures
    are converted; of an animation the first picture is taken.

    Args:
        path: any file that Pillow reads.
        max_side: larger pictures are scaled down to this side.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: no such file, not an image, damaged, or too small.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such image file; check the path.")
    try:
        with Image.open(path) as opened:
            opened.draft("RGB", None if max_side is None else (max_side, max_side))
            picture = _to_rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not an image that can be read; expected a PNG, JPEG or WebP picture.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: the image is damaged or too large to open ({error}); save it again.") from error
    if min(picture.size) < SMALLEST_SIDE:
        raise InputError(
            f"{path}: the image is {picture.width}x{picture.height} pixels; expected at least "
            f"{SMALLEST_SIDE}x{SMALLEST_SIDE}, take a larger version of it."
        )
    return np.asarray(_limited(picture, max_side))


def _limited(picture: Image.Image, max_side: int | None) -> Image.Image:
    """Scale a picture down so that its longer side is at most ``max_side``."""
    if max_side is None or max(picture.size) <= max_side:
        return picture
    scale = max_side / max(picture.size)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(picture, np.float64)
        # 16-bit files span 65535, whatever their brightest pixel is; floating-point ones span 0..1 or 0..255
        top = 65535.0 if picture.mode != "F" else (1.0 if values.max() <= 1.0 else 255.0)
        return Image.fromarray(np.clip(values / top * 255.0 + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")


def open_portrait(
    image: str | os.PathLike[str] | NDArray[np.uint8], model: MorphableModel, *, max_side: int | None = LARGEST_SIDE
) -> Portrait:
    """Load a portrait, find its face and fit the face model to it.

    Args:
        image: a file, or (H, W, 3) uint8 RGB.
        model: the face model to fit.
        max_side: larger pictures are scaled down to this side; None keeps their size.

    Raises:
        InputError: not an image, too small, no face or several faces in it.
    """
    if isinstance(image, np.ndarray):
        pixels = np.asarray(_limited(Image.fromarray(image), max_side))
    else:
        pixels = load_image(image, max_side=max_side)
    try:
        track = track_image(pixels)
    except InputError as error:
        raise error if isinstance(image, np.ndarray) else InputError(f"{image}: {error}") from error
    points = track.points[0]
    return Portrait(pixels, points, fit_clip(model, track.points), person_matte(pixels, points))
