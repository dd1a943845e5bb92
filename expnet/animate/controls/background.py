"""Replaces the background of a portrait: blurred, one colour, or another image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps
from scipy import ndimage

from expnet.animate.controls.controls import PathInput
from expnet.errors import InputError
from expnet.media.image_reader import load_image
from expnet.render.person_matte import person_matte, split_layers
from expnet.render.portrait import Portrait

Float = NDArray[np.float32]

BLUR = 0.03
"""Standard deviation of the blur relative to the image's longer side: shapes stay visible, details do not."""
# Width by which the person's edge is eroded, relative to the width of the face.
_EROSION = 0.014


def read_background(background: PathInput) -> Float | None:
    """Read a background: a colour (1, 1, 3) or an image (H, W, 3), or None for ``keep`` and ``blur``.

    Raises:
        InputError: The background is neither a known word, nor a colour, nor an image file.
    """
    if background in ("keep", "blur"):
        return None
    if Path(background).is_file():
        return load_image(background).astype(np.float32)
    try:
        colour = ImageColor.getrgb(str(background))
    except ValueError as error:
        raise InputError(
            f"background {background}: expected keep, blur, a colour such as white or #20c060, or the path of an "
            "image file."
        ) from error
    return np.array([[colour[:3]]], np.float32)


def change_background(portrait: Portrait, background: PathInput) -> Portrait:
    """Place the person in front of another background.

    The portrait itself is changed before it is rendered: the person's soft edge loses the colours of the old
    background, and the renderer then works on one consistent image.

    Args:
        portrait: Portrait to change.
        background: Background, as in `expnet.animate.controls.controls.Controls`.

    Raises:
        InputError: See :func:`read_background`; or the person could not be segmented, as in some drawings.
    """
    if background == "keep":
        return portrait
    wanted = read_background(background)
    matte = person_matte(portrait.image, portrait.points, reach=np.inf)
    if matte is None:
        raise InputError(
            f"background {background}: the person in the portrait could not be separated from the background; "
            "use another portrait, or keep its background."
        )
    matte = _erode_edge(matte, portrait)
    person, old_background = split_layers(portrait.image, matte)
    behind = _blur(old_background) if wanted is None else _cover(wanted, portrait.image.shape[:2])
    composed = person[..., :3] + (1.0 - person[..., 3:]) * behind  # (H, W, 3)
    return replace(portrait, image=np.clip(composed + 0.5, 0.0, 255.0).astype(np.uint8), matte=matte)


def _erode_edge(matte: Float, portrait: Portrait) -> Float:
    """Erode the soft edge of a matte, which would otherwise leave a rim of the old background."""
    width = float(np.ptp(portrait.points[:, 0]))
    eroded = ndimage.grey_erosion(matte, size=2 * max(round(_EROSION * width), 1) + 1)
    return np.clip((eroded - 0.3) / 0.7, 0.0, 1.0).astype(np.float32)


def _blur(background: Float) -> Float:
    """Blur a background that was inpainted behind the person, so that the person leaves no halo."""
    sigma = BLUR * max(background.shape[:2])
    return np.asarray(ndimage.gaussian_filter(background, (sigma, sigma, 0), mode="nearest"))


def _cover(background: Float, size: tuple[int, int]) -> Float:
    """Scale and crop an image so that it covers (height, width)."""
    if background.shape[:2] == (1, 1):
        return np.broadcast_to(background, (*size, 3))
    image = Image.fromarray(background.astype(np.uint8))
    return np.asarray(ImageOps.fit(image, size[::-1], Image.Resampling.LANCZOS), np.float32)
