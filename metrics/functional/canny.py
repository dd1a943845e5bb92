"""Canny's edges as scikit-image finds them, to the last pixel, in half the time.

J. Canny, "A computational approach to edge detection", PAMI 8(6), 1986; interpolated suppression of what is no maximum
and linking as in ``skimage.feature.canny`` at its defaults (sigma 1, thresholds .1 and .2, nothing beyond the border).
What is saved: passes over temporary arrays, and the smoothing of the frame of zeros, which only depends on the size.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from expnet.metrics.functional.compiled import compiled

Plane = NDArray[np.float64]

LOW, HIGH = 0.1, 0.2


def canny_edges(grey: Plane) -> NDArray[np.bool_]:
    """Edges of a picture.

    Args:
        grey: (H, W) float64; the thresholds are absolute and mean one that lies in [0, 1].

    Returns:
        (H, W), False along the border.
    """
    smooth = gaussian_filter(grey, 1.0, mode="constant") / _inside(grey.shape)
    return link(*gradients(np.pad(smooth, 1, mode="symmetric")))


@lru_cache(maxsize=8)
def _inside(shape: tuple[int, ...]) -> Plane:
    """Share of the smoothing kernel that lies in a picture of this size, (H, W)."""
    share: Plane = gaussian_filter(np.ones(shape), 1.0, mode="constant") + np.finfo(np.float64).eps
    return share


@compiled
def gradients(padded: Plane) -> tuple[Plane, Plane, Plane]:
    """Sobel's derivatives down and across and their root sum of squares, (H, W) each, of a picture with a border."""
    rows, columns = padded.shape[0] - 2, padded.shape[1] - 2
    down, across, strength = np.empty((rows, columns)), np.empty((rows, columns)), np.empty((rows, columns))
    for row in range(rows):
        above, here, below = padded[row], padded[row + 1], padded[row + 2]
        for column in range(columns):
            left, right = column, column + 2
            # sums in the order of scipy.ndimage, so that equal neighbours stay equal
            dy = 2.0 * (below[column + 1] - above[column + 1])
            dy += (below[left] - above[left]) + (below[right] - above[right])
            dx = 2.0 * (here[right] - here[left])
            dx += (above[right] - above[left]) + (below[right] - below[left])
            down[row, column], across[row, column] = dy, dx
            strength[row, column] = np.sqrt(dy * dy + dx * dx)
    return down, across, strength


@compiled
def _is_maximum(down: Plane, across: Plane, strength: Plane, row: int, column: int) -> bool:
    """Whether no place a step along the gradient, either way, is stronger; between pixels strength is interpolated.

    Without branches: which of the eight directions a gradient has is as good as chance, and guessing wrong is dear.
    """
    dy, dx = down[row, column], across[row, column]
    steepness, flatness = abs(dy), abs(dx)
    same = (dy >= 0.0) & (dx >= 0.0) | (dy <= 0.0) & (dx <= 0.0)  # both derivatives grow together
    steep = (steepness > flatness) | ((steepness == flatness) & (not same))
    diagonal = 1 if same else -1
    rows, columns = (diagonal, 0) if steep else (0, 1)  # to the nearest neighbour
    weight = (flatness if steep else steepness) / (steepness if steep else flatness)
    ahead = strength[row + diagonal, column + 1] * weight + strength[row + rows, column + columns] * (1.0 - weight)
    behind = strength[row - diagonal, column - 1] * weight + strength[row - rows, column - columns] * (1.0 - weight)
    here = strength[row, column]
    return (ahead <= here) & (behind <= here)


@compiled
def link(down: Plane, across: Plane, strength: Plane) -> NDArray[np.bool_]:
    """Strong maxima, and the weak ones that hang together with a strong one over any of their eight neighbours."""
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
