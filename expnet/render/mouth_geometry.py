"""Geometry of the opening between the lips: distances to their edges, and the arch of the teeth behind them."""

import numpy as np
from numpy.typing import NDArray

from expnet.render.rasterize import compiled_fast

Array = NDArray[np.float64]

# The arch curves back: depth decreases by this much times the squared distance from the middle.
_ARCH = 2.2


@compiled_fast
def smoothstep(low: float, high: float, value: float) -> float:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@compiled_fast
def chain_distance(chain: Array, x: float, y: float) -> float:
    """Distance from a point to a polyline (N, 2)."""
    best = 1e18
    for k in range(chain.shape[0] - 1):
        ax, ay = chain[k, 0], chain[k, 1]
        bx, by = chain[k + 1, 0] - ax, chain[k + 1, 1] - ay
        length = bx * bx + by * by
        t = 0.0
        if length > 0.0:
            t = min(max(((x - ax) * bx + (y - ay) * by) / length, 0.0), 1.0)
        dx, dy = x - ax - t * bx, y - ay - t * by
        best = min(best, dx * dx + dy * dy)
    return np.sqrt(best)


@compiled_fast
def crossings(chain: Array, x: float, y: float) -> int:
    """Number of times that a ray from a point to the right crosses a polyline."""
    count = 0
    for k in range(chain.shape[0] - 1):
        ay, by = chain[k, 1], chain[k + 1, 1]
        if (ay > y) != (by > y) and x < chain[k, 0] + (y - ay) * (chain[k + 1, 0] - chain[k, 0]) / (by - ay):
            count += 1
    return count


@compiled_fast
def between(upper: Array, lower: Array, x: float, y: float) -> tuple[float, float, float]:
    """Distances from a point to the upper lip, to the lower lip, and to the nearer one (negative outside the mouth)."""
    to_upper, to_lower = chain_distance(upper, x, y), chain_distance(lower, x, y)
    inside = min(to_upper, to_lower)
    if (crossings(upper, x, y) + crossings(lower, x, y)) % 2 == 0:
        inside = -inside
    return to_upper, to_lower, inside


@compiled_fast
def on_arch(camera: Array, column: float, row: float, middle: float, teeth_z: float) -> tuple[float, float, float]:
    """Point (x, y, z) in face space where a pixel's ray meets the arch of the teeth."""
    inverse = 1.0 / (camera[0] * camera[4] - camera[1] * camera[3])
    camera_x = (column - camera[9]) / camera[11]
    camera_y = (camera[10] - row) / camera[11]
    z, x, y = teeth_z, middle, 0.0
    for _ in range(2):
        z = teeth_z - _ARCH * min((x - middle) * (x - middle), 0.09)
        right, up = camera_x - camera[2] * z, camera_y - camera[5] * z
        x = (camera[4] * right - camera[1] * up) * inverse
        y = (camera[0] * up - camera[3] * right) * inverse
    return x, y, z
