"""Another background behind the person: blurred, one colour, or a picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps
from scipy import ndimage

from expnet.animate.controls.controls import PathInput
from expnet.errors import InputError
from expnet.render.person_matte import person_matte, split_layers
from expnet.render.portrait import Portrait, load_image

Float = NDArray[np.float32]

BLUR = 0.03
"""Standard deviation of the blur, in longer sides of the picture: shapes stay, details go."""
# How far the edge of the person is drawn in, in widths of the face.
_RIM = 0.014


def check_background(background: PathInput) -> Float | None:
    """Read a background: colours (1, 1, 3) or a picture (H, W, 3), None for ``keep`` and ``blur``.

    Raises:
        InputError: it is no word, colour or image file that is known.
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
    """Lay the person over another background.

    The portrait itself is changed, before it is rendered: the person's soft edge loses the old background's colours
    and the renderer then has one consistent picture.

    Args:
        portrait: to change.
        background: as in `expnet.animate.controls.controls.Controls`.

    Raises:
        InputError: see :func:`check_background`; or nobody was told from the background, as on some drawings.
    """
    if background == "keep":
        return portrait
    wanted = check_background(background)
    matte = person_matte(portrait.image, portrait.points, reach=np.inf)
    if matte is None:
        raise InputError(
            f"background {background}: the person in the portrait could not be told from what is behind; "
            "use another portrait, or keep its background."
        )
    matte = _tightened(matte, portrait)
    moving, plate = split_layers(portrait.image, matte)
    behind = _blurred(plate) if wanted is None else _covering(wanted, portrait.image.shape[:2])
    laid = moving[..., :3] + (1.0 - moving[..., 3:]) * behind  # (H, W, 3)
    return replace(portrait, image=np.clip(laid + 0.5, 0.0, 255.0).astype(np.uint8), matte=matte)


def _tightened(matte: Float, portrait: Portrait) -> Float:
    """Draw the soft edge of a matte in: the renderer's lies on the old background, of which no rim is to stay."""
    width = float(np.ptp(portrait.points[:, 0]))
    drawn_in = ndimage.grey_erosion(matte, size=2 * max(round(_RIM * width), 1) + 1)
    return np.clip((drawn_in - 0.3) / 0.7, 0.0, 1.0).astype(np.float32)


def _blurred(plate: Float) -> Float:
    """Blur the background that was continued behind the person, so that nothing of the person glows around it."""
    sigma = BLUR * max(plate.shape[:2])
    return np.asarray(ndimage.gaussian_filter(plate, (sigma, sigma, 0), mode="nearest"))


def _covering(picture: Float, size: tuple[int, int]) -> Float:
    """Scale and cut a picture so that it covers (height, width)."""
    if picture.shape[:2] == (1, 1):
        return np.broadcast_to(picture, (*size, 3))
    image = Image.fromarray(picture.astype(np.uint8))
    return np.asarray(ImageOps.fit(image, size[::-1], Image.Resampling.LANCZOS), np.float32)
