"""The loop of CPBD: how wide each edge is, after Marziliano."""

import math

import numpy as np
from numpy.typing import NDArray

from expnet.metrics.functional.compiled import compiled

LONGEST_SEARCH = 100
"""Pixels beyond the edge's neighbour where the search for its end gives up."""
_FLAT = math.tan(math.pi / 8)


@compiled
def edge_widths_of(grey: NDArray[np.floating], edges: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Width of each edge of one picture, both (H, W): (H, W), 0 where there is none; see ``sharpness.edge_widths``."""
    rows, columns = grey.shape
    widths = np.zeros((rows, columns), np.int32)
    if not _some_angle(grey):
        return widths
    for row in range(1, rows - 1):
        for column in range(1, columns - 1):
            if not edges[row, column]:
                continue
            across = grey[row, column + 1] - grey[row, column - 1]
            down = grey[row + 1, column] - grey[row - 1, column]
            # The original's angle is 0 where the gradient has no horizontal part, whatever its vertical one.
            if across == 0.0 or abs(down) <= _FLAT * abs(across):
                rising = 1.0 if across >= 0.0 else -1.0
                widths[row, column] = 2 + _run(grey[row], column, -1, rising) + _run(grey[row], column, 1, rising)
    return widths


@compiled
def _run(line: NDArray[np.floating], column: int, way: int, rising: float) -> int:
    """Pixels beyond a column's neighbour over which a row goes on rising (or falling, -1), looking one way."""
    place, length = column + way, 0
    while length < LONGEST_SEARCH and 0 <= place + way < len(line):
        if (line[place + way] - line[place]) * way * rising <= 0.0:
            break
        place += way
        length += 1
    return length


@compiled
def _some_angle(grey: NDArray[np.floating]) -> bool:
    """Whether any gradient has an angle other than 0: the original gives up on a picture without."""
    rows, columns = grey.shape
    for row in range(rows):
        above, below = max(row - 1, 0), min(row + 1, rows - 1)
        for column in range(columns):
            across = grey[row, min(column + 1, columns - 1)] - grey[row, max(column - 1, 0)]
            if across < 0.0 or (across > 0.0 and grey[below, column] != grey[above, column]):
                return True
    return False
