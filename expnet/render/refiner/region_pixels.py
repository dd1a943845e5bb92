"""The inner loops of a region: cut it out of an image, and apply changes to the image where it lies."""

import numpy as np
from numpy.typing import NDArray

from expnet.render.mouth_geometry import between
from expnet.render.rasterize import compiled

Array = NDArray[np.float64]


@compiled
def cut_region(image: NDArray, middle: Array, across: Array, down: Array, size: int) -> NDArray[np.float32]:
    """Sample a square of an image, averaged over the area of each of its pixels; the image's edges are repeated.

    Args:
        image: (H, W, C) image.
        middle: (2,) centre of the square, see `expnet.render.refiner.regions.Placement`.
        across: (2,) vector across the square.
        down: (2,) vector down the square.
        size: Side S of the square in pixels.

    Returns:
        (S, S, C) float32.
    """
    height, width, channels = image.shape
    taps = max(int(np.ceil(np.hypot(across[0], across[1]) / size - 0.25)), 1)
    share = np.float32(1.0 / (taps * taps))
    out = np.zeros((size, size, channels), np.float32)
    for row in range(size * taps):
        v = (row + 0.5) / (size * taps) - 0.5
        for column in range(size * taps):
            u = (column + 0.5) / (size * taps) - 0.5
            x = min(max(middle[0] + u * across[0] + v * down[0], 0.0), width - 1.0)
            y = min(max(middle[1] + u * across[1] + v * down[1], 0.0), height - 1.0)
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            wx, wy = np.float32(x - left), np.float32(y - top)
            one = np.float32(1.0)
            for channel in range(channels):
                above = (one - wx) * image[top, left, channel] + wx * image[top, left + 1, channel]
                below = (one - wx) * image[top + 1, left, channel] + wx * image[top + 1, left + 1, channel]
                out[row // taps, column // taps, channel] += share * ((one - wy) * above + wy * below)
    return out


@compiled
def change_region(
    frame: NDArray[np.uint8], changes: NDArray[np.float32], middle: Array, across: Array, down: Array
) -> None:
    """Change a frame inside a square, interpolated between the square's pixels: ``value (1 + gain) + added``.

    Args:
        frame: (H, W, 3), changed in place; where gain and added are 0 it stays bit-identical.
        changes: (S, S, 6) gain of each colour, then the added grey levels; 0 at the border.
        middle: (2,) centre of the square, see `expnet.render.refiner.regions.Placement`.
        across: (2,) vector across the square.
        down: (2,) vector down the square.
    """
    height, width, size = frame.shape[0], frame.shape[1], changes.shape[0]
    square = across[0] * across[0] + across[1] * across[1]
    reach_x, reach_y = (abs(across[0]) + abs(down[0])) / 2, (abs(across[1]) + abs(down[1])) / 2
    one, half, zero, white = np.float32(1.0), np.float32(0.5), np.float32(0.0), np.float32(255.0)
    for row in range(max(int(middle[1] - reach_y), 0), min(int(middle[1] + reach_y) + 2, height)):
        for column in range(max(int(middle[0] - reach_x), 0), min(int(middle[0] + reach_x) + 2, width)):
            dx, dy = column - middle[0], row - middle[1]
            x = ((dx * across[0] + dy * across[1]) / square + 0.5) * size - 0.5
            y = ((dx * down[0] + dy * down[1]) / square + 0.5) * size - 0.5
            if not (0.0 <= x <= size - 1.0 and 0.0 <= y <= size - 1.0):
                continue
            left, top = min(int(x), size - 2), min(int(y), size - 2)
            wx, wy = np.float32(x - left), np.float32(y - top)
            w00, w01, w10, w11 = (one - wx) * (one - wy), wx * (one - wy), (one - wx) * wy, wx * wy
            for channel in range(3):
                gain, added = zero, zero
                for part in range(2):
                    of = channel + 3 * part
                    value = w00 * changes[top, left, of] + w01 * changes[top, left + 1, of]
                    value += w10 * changes[top + 1, left, of] + w11 * changes[top + 1, left + 1, of]
                    if part == 0:
                        gain = value
                    else:
                        added = value
                changed = np.float32(frame[row, column, channel]) * (one + gain) + added
                frame[row, column, channel] = np.uint8(min(max(changed + half, zero), white))


@compiled
def restore_outside(
    frame: NDArray[np.uint8], before: NDArray[np.uint8], middle: Array, reach: float, upper: Array, lower: Array
) -> None:
    """Undo a change outside the opening between two lips, with an edge that is smooth over a pixel.

    Args:
        frame: (H, W, 3) changed frame, changed in place.
        before: (H, W, 3) the frame before its change.
        middle: (2,) a point of the changed region.
        reach: Distance from that point, in pixels, beyond which nothing has changed.
        upper: (N, 2) inner edge of the upper lip in the frame, corner to corner.
        lower: (N, 2) inner edge of the lower lip.
    """
    height, width = frame.shape[0], frame.shape[1]
    for row in range(max(int(middle[1] - reach), 0), min(int(middle[1] + reach) + 2, height)):
        for column in range(max(int(middle[0] - reach), 0), min(int(middle[0] + reach) + 2, width)):
            changed = False
            for channel in range(3):
                changed = changed or frame[row, column, channel] != before[row, column, channel]
            if not changed:
                continue
            cover = min(max(between(upper, lower, column, row)[2] / 1.3 + 0.5, 0.0), 1.0)
            for channel in range(3):
                old = np.float64(before[row, column, channel])
                mixed = old + cover * (np.float64(frame[row, column, channel]) - old)
                frame[row, column, channel] = np.uint8(mixed + 0.5)
