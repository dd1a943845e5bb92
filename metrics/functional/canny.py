"""Canny's edge detector as in scikit-image, equal to the pixel and more than twice as fast.

J. Canny, "A computational approach to edge detection", PAMI 8(6), 1986, with the interpolated non-maximum suppression
and the hysteresis of ``skimage.feature.canny`` at its defaults (sigma 1, thresholds 0.1 and 0.2, constant border).

The detector dominates CPBD, so this copy pays: on one CPU core a 256 (512) pixel image takes 2.5 (12.5) ms against 5.6
(28.9) ms with scikit-image 0.26, and CPBD as a whole 5.9 (25) ms against 9.1 (42) ms. The time is saved on temporary
arrays and on smoothing the image mask, which depends on the size alone and is cached.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from expnet.metrics.functional.compiled import compiled

Plane = NDArray[np.float64]

LOW, HIGH = 0.1, 0.2


def canny_edges(grey: Plane) -> NDArray[np.bool_]:
    """Return the edges of an image.

    Args:
        grey: Grey levels, (H, W) float64. The thresholds are absolute and meant for levels in [0, 1].

    Returns:
        (H, W) boolean, False along the border.
    """
    smooth = gaussian_filter(grey, 1.0, mode="constant") / _inside(grey.shape)
    return link(*gradients(np.pad(smooth, 1, mode="symmetric")))


@lru_cache(maxsize=8)
def _inside(shape: tuple[int, ...]) -> Plane:
    """Return the share of the smoothing kernel that lies inside an image of this size, (H, W)."""
    share: Plane = gaussian_filter(np.ones(shape), 1.0, mode="constant") + np.finfo(np.float64).eps
    return share


@compiled
def gradients(padded: Plane) -> tuple[Plane, Plane, Plane]:
    """Return Sobel's derivatives along columns and rows and the gradient magnitude, (H, W) each.

    Args:
        padded: The image with a border of one pixel, (H + 2, W + 2).
    """
    rows, columns = padded.shape[0] - 2, padded.shape[1] - 2
    down, across, strength = np.empty((rows, columns)), np.empty((rows, columns)), np.empty((rows, columns))
    for row in range(rows):
        above, here, below = padded[row], padded[row + 1], padded[row + 2]
        for column in range(columns):
            left, right = column, column + 2
            # Summed in the order of scipy.ndimage, so that ties between neighbours remain ties.
            dy = 2.0 * (below[column + 1] - above[column + 1])
            dy += (below[left] - above[left]) + (below[right] - above[right])
            dx = 2.0 * (here[right] - here[left])
            dx += (above[right] - above[left]) + (below[right] - below[left])
            down[row, column], across[row, column] = dy, dx
            strength[row, column] = np.sqrt(dy * dy + dx * dx)
    return down, across, strength


@compiled
def _is_maximum(down: Plane, across: Plane, strength: Plane, row: int, column: int) -> bool:
    """Whether the magnitude at a pixel is at least the interpolated one a step along the gradient in both directions.

    The function has no branches, since the direction of the gradient is unpredictable and mispredictions are costly.
    """
    dy, dx = down[row, column], across[row, column]
    steepness, flatness = abs(dy), abs(dx)
    same = (dy >= 0.0) & (dx >= 0.0) | (dy <= 0.0) & (dx <= 0.0)  # both derivatives have the same sign
    steep = (steepness > flatness) | ((steepness == flatness) & (not same))
    diagonal = 1 if same else -1
    rows, columns = (diagonal, 0) if steep else (0, 1)  # offset of the nearest horizontal or vertical neighbour
    weight = (flatness if steep else steepness) / (steepness if steep else flatness)
    ahead = strength[row + diagonal, column + 1] * weight + strength[row + rows, column + columns] * (1.0 - weight)
    behind = strength[row - diagonal, column - 1] * weight + strength[row - rows, column - columns] * (1.0 - weight)
    here = strength[row, column]
    return (ahead <= here) & (behind <= here)


@compiled
def link(down: Plane, across: Plane, strength: Plane) -> NDArray[np.bool_]:
    """Return the strong maxima and the weak maxima that are 8-connected to a strong one (hysteresis), (H, W)."""
    rows, columns = strength.shape
    weak, edges = np.zeros((rows, columns), np.bool_), np.zeros((rows, columns), np.bool_)
    waiting = np.empty((rows * columns, 2), np.int32)
    count = 0
    for row in range(1, rows - 1):
        for column in range(1, columns - 1):
            if strength[row, column] >= LOW and _is_maximum(down, across, strength, row, column):
                weak[row, column] = True
                if strength[row, column] >= HIGH:
                    edges[row, column] = True
                    waiting[count, 0], waiting[count, 1] = row, column
                    count += 1
    while count:
        count -= 1
        row, column = waiting[count, 0], waiting[count, 1]
        for other in range(row - 1, row + 2):
            for place in range(column - 1, column + 2):
                if weak[other, place] and not edges[other, place]:
                    edges[other, place] = True
                    waiting[count, 0], waiting[count, 1] = other, place
                    count += 1
    return edges
