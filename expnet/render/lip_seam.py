"""The dark line between lips that touch, for portraits whose mouth is open.

Closed lips meet in a shadow. A portrait with an open mouth has no such line: its lips would meet like two pieces of
skin that are glued together, and neither a viewer nor a tracker could tell where the mouth is.
"""

import numpy as np
from numpy.typing import NDArray

from expnet.render.rasterize import compiled_fast

Array = NDArray[np.float64]

# Share of the light that is left in the middle of the line, per colour channel: the shadow is warm.
_LEFT = (0.55, 0.45, 0.45)
# Half the width of the line in face units (0.9 mm), and its least half width in pixels.
_HALF_WIDTH, _LEAST_PIXELS = 0.009, 0.8


@compiled_fast
def darken_seam(frame: NDArray[np.uint8], seam: Array, strength: Array, scale: float) -> None:
    """Darken the pixels along the line where the lips touch.

    The light falls by ``strength * exp(-(distance / half width)^2)`` of what the middle of the line loses.

    Args:
        frame: (H, W, 3), changed in place.
        seam: (11, 2) pixels from corner to corner, halfway between the edges of the lips.
        strength: (11,) from 0 (no line) to 1, interpolated between the points.
        scale: Pixels per face unit.
    """
    if strength.max() <= 0.0:
        return
    half = max(_HALF_WIDTH * scale, _LEAST_PIXELS)
    reach = int(2.0 * half) + 2
    first_x, last_x = max(int(seam[:, 0].min()) - reach, 0), min(int(seam[:, 0].max()) + reach, frame.shape[1] - 1)
    first_y, last_y = max(int(seam[:, 1].min()) - reach, 0), min(int(seam[:, 1].max()) + reach, frame.shape[0] - 1)
    for row in range(first_y, last_y + 1):
        for column in range(first_x, last_x + 1):
            nearest, dark = 1e18, 0.0
            for k in range(seam.shape[0] - 1):
                along_x, along_y = seam[k + 1, 0] - seam[k, 0], seam[k + 1, 1] - seam[k, 1]
                dx, dy = column - seam[k, 0], row - seam[k, 1]
                length = along_x * along_x + along_y * along_y
                t = min(max((dx * along_x + dy * along_y) / max(length, 1e-9), 0.0), 1.0)
                dx, dy = dx - t * along_x, dy - t * along_y
                distance = dx * dx + dy * dy
                if distance < nearest:
                    nearest, dark = distance, strength[k] + t * (strength[k + 1] - strength[k])
            dark *= np.exp(-nearest / (half * half))
            if dark > 0.004:  # below, not one grey level changes
                for channel in range(3):
                    value = frame[row, column, channel] * (1.0 - dark * (1.0 - _LEFT[channel]))
                    frame[row, column, channel] = np.uint8(value + 0.5)
