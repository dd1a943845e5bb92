"""Eyes that look elsewhere: the iris of each eye is moved in the portrait, between the lids and over the white.

The portrait's own iris is cut out, what the lids hide of it is completed from the rest, the white of the eye is
continued where it was, and the iris is laid down again where the eyeball's turn takes it. Lids and skin do not
move. The face model and its coefficients know nothing of this: gaze is a change of the portrait, one for a whole video.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from expnet.render.lids import CORNERS, LOWER_LIDS, UPPER_LIDS
from expnet.render.portrait import Portrait

Array = NDArray[np.float64]

# Tracked points of each iris, the subject's right and left: the centre, and four on its edge.
_IRISES = ((468, (469, 470, 471, 472)), (473, (474, 475, 476, 477)))
EYEBALL = 2.05
"""Radius of an eyeball in radii of its iris: 12 mm and 5.85 mm, which vary little between adults."""
# The iris fades out between these multiples of its tracked radius; the white begins beyond the last.
_IRIS_FULL, _IRIS_END, _WHITE = 1.0, 1.15, 1.3
# Finer steps than pixels for the outline of the eye.
_FINE = 4


def redirect_gaze(portrait: Portrait, right: float, up: float) -> Portrait:
    """Turn the eyes of a portrait.

    Args:
        portrait: to change.
        right: degrees to the image's right of where they look.
        up: degrees above it.

    Returns:
        The portrait with other eyes; the same pixels for 0, 0.
    """
    if right == 0.0 and up == 0.0:
        return portrait
    image = portrait.image.astype(np.float64)
    points = np.asarray(portrait.points[:, :2], np.float64)
    first, last = points[CORNERS[0][0]], points[CORNERS[1][0]]  # outer corners: image left, image right
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
    """Move one iris by ``shift`` pixels, in place."""
    spare = int(np.ceil(1.5 * radius)) + 3
    low = np.maximum(np.floor(np.minimum(outline.min(axis=0), centre - radius)).astype(int) - spare, 0)
    high = np.maximum(outline.max(axis=0), centre + radius)
    high = np.minimum(np.ceil(high).astype(int) + spare, image.shape[1::-1])
    box = (slice(low[1], high[1]), slice(low[0], high[0]))
    eye = image[box]
    opening = _inside(outline - low, eye.shape[:2])  # (h, w) 0..1
    centre = centre - low
    x, y = np.meshgrid(np.arange(eye.shape[1]), np.arange(eye.shape[0]))
    distance = np.hypot(x - centre[0], y - centre[1]) / radius
    seen = ndimage.grey_erosion(opening, size=3) > 0.9  # not the lashes, nor the lids' edges
    white = _continued(eye, seen & (distance > _WHITE), 0.5 * radius)
    iris = _completed(eye, seen, distance, radius)
    placed = ndimage.shift(iris, (shift[1], shift[0], 0.0), order=3, mode="nearest")
    away = np.hypot(x - centre[0] - shift[0], y - centre[1] - shift[1]) / radius
    share = np.clip((_IRIS_END - away) / (_IRIS_END - _IRIS_FULL), 0.0, 1.0)[..., None]
    moved = white + share * (placed - white)
    eye += ndimage.gaussian_filter(opening, 0.5)[..., None] * (moved - eye)


def _inside(outline: Array, size: tuple[int, int]) -> Array:
    """Share of each pixel within an outline, (h, w)."""
    height, width = size
    canvas = Image.new("L", (width * _FINE, height * _FINE))
    ImageDraw.Draw(canvas).polygon([((x + 0.5) * _FINE, (y + 0.5) * _FINE) for x, y in outline], fill=255)
    fine = np.asarray(canvas, np.float64) / 255.0
    return fine.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3))


def _continued(eye: Array, known: NDArray[np.bool_], sigma: float) -> Array:
    """Continue the white of the eye smoothly to where it is hidden; known pixels stay."""
    if not known.any():
        return eye.copy()
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled = eye[nearest[0], nearest[1]]
    smooth = ndimage.gaussian_filter(filled, (sigma, sigma, 0), mode="nearest")
    keep = np.clip(ndimage.distance_transform_edt(known) / max(0.3 * sigma, 1.0), 0.0, 1.0)[..., None]
    return np.asarray(smooth + keep * (eye - smooth))


def _completed(eye: Array, seen: NDArray[np.bool_], distance: Array, radius: float) -> Array:
    """Complete an iris that the lids cover in part: it is much the same all around, so by its median at each radius."""
    ring = np.round(distance * radius).astype(int)  # whole pixels from the centre
    known = seen & (distance <= _IRIS_END)
    if not known.any():
        return eye.copy()
    rings = np.unique(ring[known])
    medians = np.stack([np.median(eye[known & (ring == one)], axis=0) for one in rings])  # (R, 3)
    profile = np.stack([np.interp(distance * radius, rings, channel) for channel in medians.T], axis=-1)
    keep = np.clip(ndimage.distance_transform_edt(seen) / max(0.2 * radius, 1.0), 0.0, 1.0)[..., None]
    return np.asarray(profile + keep * (eye - profile))
