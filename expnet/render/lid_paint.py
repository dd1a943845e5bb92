"""The per-pixel loop that paints a closing eyelid."""

import numpy as np
from numpy.typing import NDArray

from expnet.render.mouth_geometry import smoothstep
from expnet.render.rasterize import compiled_fast, fetch

Array = NDArray[np.float64]


@compiled_fast
def paint_lid(
    target: NDArray[np.float32],
    opened: NDArray[np.float32],
    closed: NDArray[np.float32],
    inside: Array,
    height: Array,
    edge: Array,
    shift: Array,
    down: Array,
    band: float,
    closure: float,
) -> None:
    """Paint the bounding box of one eye.

    Args:
        target: (h, w, 4) output.
        opened: (h, w, 4) the eye as it is in the portrait.
        closed: (h, w, 4) the same box with skin over the eyeball.
        inside: (h, w) opacity of the skin in [0, 1].
        height: (h, w) pixels below the line between the eye's corners.
        edge: (h, w) height of the lid's edge in that pixel's column.
        shift: (h, w) pixels by which that edge has moved down.
        down: (2,) unit vector in which the lid moves, x and y.
        band: Height of the lash line above the edge, in pixels.
        closure: Closure of the lid in [0, 1].
    """
    begun = smoothstep(0.0, 0.15, closure)
    # The fold above the eye unfolds late: slightly narrowed eyes, as in speech, keep their own appearance there.
    unfolded = smoothstep(0.2, 0.6, closure)
    for row in range(target.shape[0]):
        for column in range(target.shape[1]):
            above = edge[row, column] - height[row, column]  # pixels above the lid's edge
            moved = shift[row, column]
            over = smoothstep(0.0, 0.5 * band, above - moved)  # above the open eye's edge
            skin = (begun + over * (unfolded - begun)) * inside[row, column] * smoothstep(-0.7, 0.7, above)
            # The lash line moves with the edge: sample the portrait's own edge at the same distance from it.
            lash = 0.0
            if moved > 0.0:
                lash = smoothstep(-0.04 * band - 0.7, 0.0, above) * (1.0 - smoothstep(0.25 * band, band, above))
                lash *= min(moved, 1.0) * (1.0 - 0.25 * closure)
            shadow = 1.0 - 0.3 * begun * smoothstep(-1.2 * band, 0.0, above) * (1.0 if above <= 0.0 else 0.0) * min(
                moved, 1.0
            )
            for channel in range(3):
                value = opened[row, column, channel] * shadow
                value += skin * (closed[row, column, channel] - value)
                if lash > 0.0:
                    own = fetch(opened, column - moved * down[0], row - moved * down[1], channel)
                    # Only pixels that are darker than the skin belong to the lashes.
                    value += lash * (min(own, value) - value)
                target[row, column, channel] = value
