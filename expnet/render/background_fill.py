"""Fills in the background behind the person from the background that is visible.

Only a strip along the person's outline is ever uncovered. There the background is mirrored at the outline, which
continues stripes, walls and foliage without a break; farther inside it fades to the background's average colours.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Float = NDArray[np.float32]

# As shares of the longer image side: smoothing of the mirroring direction along a ragged outline, and the distance over
# which the mirror image fades to average colours.
_SMOOTH, _REACH = 0.03, 0.15
# Pixels over which the mirror image fades out where it would show the person or leave the image.
_RIM = 1.5


def extend_background(image: Float, known: NDArray[np.bool_]) -> Float:
    """Extend the known pixels of an image into its unknown ones.

    Args:
        image: (H, W, 3) image.
        known: (H, W) mask of the known pixels. If it is empty, the result is meaningless.

    Returns:
        (H, W, 3) image to use where ``known`` is False.
    """
    weight = known.astype(np.float32)[..., None]
    filled = _pull_push(image * weight, weight)
    mirrored, share = _mirrored(image, known)
    return (share * mirrored + (1.0 - share) * filled).astype(np.float32)


def _mirrored(image: Float, known: NDArray[np.bool_]) -> tuple[Float, Float]:
    """Mirror the image at the edge of the known pixels: colours (H, W, 3) and their weight (H, W, 1)."""
    size = max(known.shape)
    distance, nearest = ndimage.distance_transform_edt(~known, return_indices=True)
    here = np.indices(known.shape)
    outward = (nearest - here) / np.maximum(distance, 1e-6)  # (2, H, W)
    smooth = np.stack([ndimage.gaussian_filter(part, _SMOOTH * size) for part in outward])
    smooth /= np.maximum(np.linalg.norm(smooth, axis=0), 1e-6)
    # The edge lies half a pixel before the nearest known pixel.
    places = here + (2.0 * distance - 1.0) * smooth  # (2, H, W) rows, columns
    limits = np.array(known.shape)[:, None, None] - 1
    rows, columns = np.clip(np.rint(places), 0, limits).astype(int)
    seen = (((places >= 0) & (places <= limits)).all(axis=0) & known[rows, columns]).astype(np.float32)
    seen = np.minimum(seen, ndimage.gaussian_filter(seen, _RIM))
    fade = np.clip(1.0 - distance / (_REACH * size), 0.0, 1.0)
    colours = [ndimage.map_coordinates(image[..., k], places, order=1, mode="nearest") for k in range(3)]
    return np.stack(colours, axis=-1), (seen * fade * fade * (3.0 - 2.0 * fade)).astype(np.float32)[..., None]


def _pull_push(colour: Float, weight: Float) -> Float:
    """Fill unknown pixels from a resolution pyramid, given weighted colours (H, W, 3) and weights (H, W, 1)."""
    height, width = weight.shape[:2]
    own = colour / np.maximum(weight, 1e-6)
    if min(height, width) <= 2 or bool((weight >= 1.0).all()):
        return np.where(weight > 0.0, own, colour.sum((0, 1)) / max(float(weight.sum()), 1e-6)).astype(np.float32)
    even = ((0, height % 2), (0, width % 2), (0, 0))
    blocks = np.concatenate([np.pad(colour, even), np.pad(weight, even)], axis=-1)
    blocks = blocks.reshape(blocks.shape[0] // 2, 2, blocks.shape[1] // 2, 2, 4).sum(axis=(1, 3))
    share = np.minimum(blocks[..., 3:], 1.0)
    coarse = _pull_push(blocks[..., :3] / np.maximum(blocks[..., 3:], 1e-6) * share, share)
    rows = np.clip((np.arange(height) - 0.5) / 2, 0, coarse.shape[0] - 1)
    columns = np.clip((np.arange(width) - 0.5) / 2, 0, coarse.shape[1] - 1)
    finer = bilinear(coarse, rows, columns)
    return (weight * own + (1.0 - weight) * finer).astype(np.float32)


def bilinear(image: Float, rows: NDArray, columns: NDArray) -> Float:
    """Sample an image (H, W, C) at fractional rows (R,) and columns (S,): (R, S, C)."""
    top, left = rows.astype(int), columns.astype(int)
    bottom, right = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)
    down, across = (rows - top)[:, None, None], (columns - left)[None, :, None]
    upper = image[top][:, left] * (1 - across) + image[top][:, right] * across
    lower = image[bottom][:, left] * (1 - across) + image[bottom][:, right] * across
    return (upper * (1 - down) + lower * down).astype(np.float32)
