"""Edge widths after Marziliano, the inner loop of CPBD."""

import math

import numpy as np
from numpy.typing import NDArray

from expnet.metrics.functional.compiled import compiled

LONGEST_SEARCH = 100
"""Maximum number of pixels beyond the edge's neighbour in which the end of the edge is searched."""
_FLAT = math.tan(math.pi / 8)


@compiled
def edge_widths_of(grey: NDArray[np.floating], edges: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the width of each edge of one image, 0 elsewhere, all (H, W); see ``sharpness.edge_widths``."""
    rows, columns = grey.shape
    widths = np.zeros((rows, columns), np.int32)
    if not _has_nonzero_angle(grey):
        return widths
    for row in range(1, rows - 1):
        for column in range(1, columns - 1):
            if not edges[row, column]:
                continue
            across = grey[row, column + 1] - grey[row, column - 1]
            down = grey[row + 1, column] - grey[row - 1, column]
            # In the original, the angle is 0 where the horizontal derivative is 0, whatever the vertical one is.
            if across == 0.0 or abs(down) <= _FLAT * abs(across):
                rising = 1.0 if across >= 0.0 else -1.0
                widths[row, column] = 2 + _run(grey[row], column, -1, rising) + _run(grey[row], column, 1, rising)
    return widths


@compiled
def _run(line: NDArray[np.floating], column: int, way: int, rising: float) -> int:
    """Count the pixels beyond a column's neighbour over which a row keeps rising (or falling, -1) in one direction."""
    place, length = column + way, 0
    while length < LONGEST_SEARCH and 0 <= place + way < len(line):
        if (line[place + way] - line[place]) * way * rising <= 0.0:
            break
        place += way
        length += 1
    return length


@compiled
def _has_nonzero_angle(grey: NDArray[np.floating]) -> bool:
    """Whether any gradient has an angle other than 0; without one, the original finds no edge widths at all."""
    rows, columns = grey.shape
    for row in range(rows):
        above, below = max(row - 1, 0), min(row + 1, rows - 1)
        for column in range(columns):
            across = grey[row, min(column + 1, columns - 1)] - grey[row, max(column - 1, 0)]
            if across < 0.0 or (across > 0.0 and grey[below, column] != grey[above, column]):
                return True
    return False
