"""Redirects the gaze of a portrait: each iris is moved between the eyelids and over the sclera.

The portrait's own iris is cut out, its parts hidden by the eyelids are completed from the visible parts, the sclera is
inpainted where the iris was, and the iris is placed where the eyeball's rotation takes it. Eyelids and skin do not
move. The face model is not involved: gaze is a change of the portrait, and stays the same for a whole video.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from expnet.render.lids import CORNERS, LOWER_LIDS, UPPER_LIDS
from expnet.render.portrait import Portrait

Array = NDArray[np.float64]

# Tracked points of each iris, the subject's right and left: the centre, and four points on its edge.
_IRISES = ((468, (469, 470, 471, 472)), (473, (474, 475, 476, 477)))
EYEBALL = 2.05
"""Radius of the eyeball in radii of the iris: 12 mm and 5.85 mm, which vary little between adults."""
# The iris fades out between the first two multiples of its tracked radius; the sclera begins at the third.
_IRIS_FULL, _IRIS_END, _SCLERA = 1.0, 1.15, 1.3
# Subpixels per pixel when the outline of the eye is rasterised.
_SUBPIXELS = 4


def redirect_gaze(portrait: Portrait, right: float, up: float) -> Portrait:
    """Turn the eyes of a portrait.

    Args:
        portrait: Portrait to change.
        right: Degrees to the image's right, relative to the portrait's gaze.
        up: Degrees upwards, relative to the portrait's gaze.

    Returns:
        The changed portrait; for 0, 0 the portrait itself.
    """
    if right == 0.0 and up == 0.0:
        return portrait
    image = portrait.image.astype(np.float64)
    points = np.asarray(portrait.points[:, :2], np.float64)
    first, last = points[CORNERS[0][0]], points[CORNERS[1][0]]  # outer eye corners: image left, image right
    across = (last - first) / max(float(np.linalg.norm(last - first)), 1.0)
    above = np.array([across[1], -across[0]])
    turn = np.sin(np.radians(right)) * across + np.sin(np.radians(up)) * above
    for side in (0, 1):
        centre, ring = _IRISES[side]
        radius = float(np.linalg.norm(points[list(ring)] - points[centre], axis=1).mean())
        outline = points[[CORNERS[side][0], *UPPER_LIDS[side], CORNERS[side][1], *reversed(LOWER_LIDS[side])]]
        _move_iris(image, outline, points[centre], radius, EYEBALL * radius * turn)
    return replace(portrait, image=np.clip(image + 0.5, 0.0, 255.0).astype(np.uint8))


def _move_iris(image: Array, outline: Array, centre: Array, radius: float, shift: Array) -> None:
    """Move one iris by ``shift`` pixels, in place.

    Args:
        image: Image (H, W, 3).
        outline: Outline (N, 2) of the eye opening.
        centre: Centre (2,) of the iris.
        radius: Radius of the iris.
        shift: Displacement (2,).
    """
    margin = int(np.ceil(1.5 * radius)) + 3
    low = np.maximum(np.floor(np.minimum(outline.min(axis=0), centre - radius)).astype(int) - margin, 0)
    high = np.maximum(outline.max(axis=0), centre + radius)
    high = np.minimum(np.ceil(high).astype(int) + margin, image.shape[1::-1])
    box = (slice(low[1], high[1]), slice(low[0], high[0]))
    eye = image[box]
    opening = _coverage(outline - low, eye.shape[:2])  # (h, w) in [0, 1]
    centre = centre - low
    x, y = np.meshgrid(np.arange(eye.shape[1]), np.arange(eye.shape[0]))
    distance = np.hypot(x - centre[0], y - centre[1]) / radius
    visible = ndimage.grey_erosion(opening, size=3) > 0.9  # without eyelashes and lid margins
    sclera = _extend_sclera(eye, visible & (distance > _SCLERA), 0.5 * radius)
    iris = _complete_iris(eye, visible, distance, radius)
    moved_iris = ndimage.shift(iris, (shift[1], shift[0], 0.0), order=3, mode="nearest")
    away = np.hypot(x - centre[0] - shift[0], y - centre[1] - shift[1]) / radius
    share = np.clip((_IRIS_END - away) / (_IRIS_END - _IRIS_FULL), 0.0, 1.0)[..., None]
    moved = sclera + share * (moved_iris - sclera)
    eye += ndimage.gaussian_filter(opening, 0.5)[..., None] * (moved - eye)


def _coverage(outline: Array, size: tuple[int, int]) -> Array:
    """Return the share of each pixel that lies within an outline, (h, w)."""
    height, width = size
    canvas = Image.new("L", (width * _SUBPIXELS, height * _SUBPIXELS))
    ImageDraw.Draw(canvas).polygon([((x + 0.5) * _SUBPIXELS, (y + 0.5) * _SUBPIXELS) for x, y in outline], fill=255)
    fine = np.asarray(canvas, np.float64) / 255.0
    return fine.reshape(height, _SUBPIXELS, width, _SUBPIXELS).mean(axis=(1, 3))


def _extend_sclera(eye: Array, known: NDArray[np.bool_], sigma: float) -> Array:
    """Extend the sclera smoothly to where it is hidden; known pixels stay."""
    if not known.any():
        return eye.copy()
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled = eye[nearest[0], nearest[1]]
    smooth = ndimage.gaussian_filter(filled, (sigma, sigma, 0), mode="nearest")
    keep = np.clip(ndimage.distance_transform_edt(known) / max(0.3 * sigma, 1.0), 0.0, 1.0)[..., None]
    return np.asarray(smooth + keep * (eye - smooth))


def _complete_iris(eye: Array, visible: NDArray[np.bool_], distance: Array, radius: float) -> Array:
    """Complete an iris that the eyelids partly cover, by the median colour at each radius: it is nearly symmetric."""
    ring = np.round(distance * radius).astype(int)  # whole pixels from the centre
    known = visible & (distance <= _IRIS_END)
    if not known.any():
        return eye.copy()
    rings = np.unique(ring[known])
    medians = np.stack([np.median(eye[known & (ring == number)], axis=0) for number in rings])  # (R, 3)
    profile = np.stack([np.interp(distance * radius, rings, channel) for channel in medians.T], axis=-1)
    keep = np.clip(ndimage.distance_transform_edt(visible) / max(0.2 * radius, 1.0), 0.0, 1.0)[..., None]
    return np.asarray(profile + keep * (eye - profile))
