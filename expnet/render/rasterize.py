"""The two inner loops of the mesh renderer: triangles -> source positions, and source positions -> pixels.

A triangle mesh is drawn with a z-buffer, but instead of colours each pixel receives the position in the portrait
that lands there; a second pass fetches those positions with a sharp cubic filter. Positions are pixel indices: the
centre of the top-left pixel is (0, 0). Both loops run on one thread, in a fixed order, so equal input gives equal
bits.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Float = NDArray[np.float32]

PADDING = 64
"""Pixels kept around the portrait: how far a position may lie outside before it is clamped."""

# Free parameter of the cubic filter. -0.5 is Catmull-Rom; -0.7 keeps more of the sharpness that a warp costs
# (measured on portraits shifted by half a pixel) and still shows no ringing around the eyes.
_CUBIC = -0.7
_FOLD = 2.0
# Places of a pixel's numbers from its first, without a sign; see `sample`.
_GREEN, _BLUE, _OPACITY, _CHANNELS = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


def compiled(function: Function, *, fast: bool = False) -> Function:
    """Compile with numba, and keep the machine code on disk where some folder can be written.

    Args:
        function: the loop.
        fast: let sums of products be contracted and reordered (once, when compiling: the same bits every run).
    """
    try:
        kernel: Any = numba.njit(cache=True, nogil=True, fastmath=fast)(function)
    except RuntimeError:  # no folder for the cache: a read-only install without a home
        kernel = numba.njit(nogil=True, fastmath=fast)(function)
    return kernel


compiled_fast = partial(compiled, fast=True)


@compiled_fast
def cubic_weights(fraction: np.float32) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Weights of the four neighbours at a fraction in [0, 1); (0, 1, 0, 0) at 0."""
    one, sharpness = np.float32(1.0), np.float32(_CUBIC)
    rest = one - fraction
    w0 = sharpness * fraction * rest * rest
    w3 = sharpness * rest * fraction * fraction
    w1 = ((sharpness + np.float32(2.0)) * fraction - (sharpness + np.float32(3.0))) * fraction * fraction + one
    return w0, w1, one - w0 - w1 - w3, w3


def pad_image(image: NDArray, margin: int = PADDING) -> Float:
    """Continue a picture beyond its edges, so that the sampler needs no special cases.

    Each edge is drawn out straight: hair that the picture cuts off goes on, where a mirrored copy would show twice.

    Args:
        image: (H, W, 4) colour times opacity, and opacity; or (H, W, 3) colours, opaque.
        margin: pixels added on each side.

    Returns:
        (H + 2 margin, W + 2 margin, 4) float32.
    """
    height, width = image.shape[:2]
    layers = np.ones((height, width, 4), np.float32)
    layers[..., : image.shape[2]] = image
    return np.pad(layers, ((margin, margin), (margin, margin), (0, 0)), mode="edge")


def identity_map(height: int, width: int) -> Float:
    """Map in which every pixel comes from itself, (H, W, 2) x and y."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows], axis=-1).astype(np.float32)


@compiled
def draw_triangles(
    vertices: NDArray[np.float64],
    sources: NDArray[np.float64],
    triangles: NDArray[np.int32],
    source_map: Float,
    depth_buffer: Float,
) -> None:
    """Write the source position of the nearest surface at each pixel.

    Args:
        vertices: (V, 3) pixel x, pixel y, depth (larger is nearer).
        sources: (V, 2) position in the portrait.
        triangles: (F, 3); both windings are drawn.
        source_map: (H, W, 2), changed in place where a triangle covers the pixel's centre.
        depth_buffer: (H, W), changed in place; start with -inf.
    """
    height, width = depth_buffer.shape
    for index in range(triangles.shape[0]):
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        ax, ay = vertices[a, 0], vertices[a, 1]
        bx, by = vertices[b, 0] - ax, vertices[b, 1] - ay
        cx, cy = vertices[c, 0] - ax, vertices[c, 1] - ay
        area = bx * cy - by * cx
        if abs(area) < 1e-9:
            continue
        top = max(int(np.ceil(min(ay, ay + by, ay + cy) - 1e-6)), 0)
        bottom = min(int(np.floor(max(ay, ay + by, ay + cy) + 1e-6)), height - 1)
        # Displacements, not positions, are interpolated: at rest they are exactly zero.
        ux, uy, uz = sources[a, 0] - ax, sources[a, 1] - ay, vertices[a, 2]
        vx = sources[b, 0] - vertices[b, 0] - ux
        vy = sources[b, 1] - vertices[b, 1] - uy
        vz = vertices[b, 2] - uz
        wx = sources[c, 0] - vertices[c, 0] - ux
        wy = sources[c, 1] - vertices[c, 1] - uy
        wz = vertices[c, 2] - uz
        inverse = 1.0 / area
        # barycentric coordinates: beta = (px cy - py cx) / area, gamma = (py bx - px by) / area
        beta_x, beta_y = cy * inverse, -cx * inverse
        gamma_x, gamma_y = -by * inverse, bx * inverse
        for row in range(top, bottom + 1):
            py = row - ay
            low, high = -np.inf, np.inf
            # each of beta >= 0, gamma >= 0 and beta + gamma <= 1 is an interval of px on this row; a hair's breadth
            # is added so that neighbours leave no crack between them
            for side in range(3):
                if side == 0:
                    slope, offset = beta_x, beta_y * py
                elif side == 1:
                    slope, offset = gamma_x, gamma_y * py
                else:
                    slope, offset = -beta_x - gamma_x, 1.0 - (beta_y + gamma_y) * py
                offset += 1e-7
                if slope > 1e-12:
                    low = max(low, -offset / slope)
                elif slope < -1e-12:
                    high = min(high, -offset / slope)
                elif offset < 0.0:
                    high = -np.inf
            if high < low:
                continue
            first = max(int(np.ceil(low + ax)), 0)
            last = min(int(np.floor(high + ax)), width - 1)
            for column in range(first, last + 1):
                px = column - ax
                beta = beta_x * px + beta_y * py
                gamma = gamma_x * px + gamma_y * py
                depth = uz + beta * vz + gamma * wz
                if depth > depth_buffer[row, column]:
                    depth_buffer[row, column] = depth
                    source_map[row, column, 0] = column + (ux + beta * vx + gamma * wx)
                    source_map[row, column, 1] = row + (uy + beta * vy + gamma * wy)


@compiled_fast
def sample(padded: Float, source_map: Float, margin: int, background: Float, out: NDArray[np.uint8]) -> None:
    """Fetch the moving layer at the mapped positions with a cubic filter, and lay it over the plate.

    Indices have no sign, and a row is fetched before it is laid down: only then does the compiler take the four
    channels of a pixel together (a signed index may count from the end, which it has to ask at every fetch).

    Args:
        padded: the result of :func:`pad_image`, (H + 2 margin, W + 2 margin, 4).
        source_map: (H, W, 2) positions x, y in the unpadded portrait.
        margin: the padding used.
        plate: (H, W, 3) what shows where the layer is not opaque.
        out: (H, W, 3) uint8, written.
    """
    rows, columns = np.uint64(source_map.shape[0]), np.uint64(source_map.shape[1])
    one, half, zero, white = np.float32(1.0), np.float32(0.5), np.float32(0.0), np.float32(255.0)
    limit_y, limit_x = np.float32(padded.shape[0] - 3), np.float32(padded.shape[1] - 3)
    flat, stride, shift = padded.ravel(), np.uint64(padded.shape[1] * 4), np.float32(margin)
    line = np.empty(columns * _CHANNELS, np.float32)
    for row in range(rows):
        for column in range(columns):
            x, y = source_map[row, column, 0], source_map[row, column, 1]
            if x == np.float32(column) and y == np.float32(row):
                base = (row + np.uint64(margin)) * stride + (column + np.uint64(margin)) * _CHANNELS
                red, green, blue, opacity = flat[base], flat[base + _GREEN], flat[base + _BLUE], flat[base + _OPACITY]
            else:
                x = min(max(x + shift, one), limit_x)
                y = min(max(y + shift, one), limit_y)
                left, top = np.int32(x), np.int32(y)
                weights = cubic_weights(x - np.float32(left))
                red, green, blue, opacity = zero, zero, zero, zero
                first = np.uint64(top - 1) * stride + np.uint64(left - 1) * _CHANNELS
                for down in cubic_weights(y - np.float32(top)):
                    base = first
                    for along in weights:
                        weight = down * along
                        red += weight * flat[base]
                        green += weight * flat[base + _GREEN]
                        blue += weight * flat[base + _BLUE]
                        opacity += weight * flat[base + _OPACITY]
                        base += _CHANNELS
                    first += stride
            place = column * _CHANNELS
            line[place], line[place + _GREEN], line[place + _BLUE], line[place + _OPACITY] = red, green, blue, opacity
        for column in range(columns):
            place = column * _CHANNELS
            rest = max(one - line[place + _OPACITY], zero)
            for channel in range(_OPACITY):
                value = line[place + channel] + rest * background[row, column, channel]
                out[row, column, channel] = np.uint8(min(max(value + half, zero), white))


@compiled
def soften_folds(frame: NDArray[np.uint8], source_map: Float, folds: NDArray[np.bool_]) -> None:
    """Blend the pixels along folds, where a nearer part of the sheet hides another, so that they leave no stairs.

    A fold shows as neighbours that come from places more than ``_FOLD`` pixels apart.

    Args:
        frame: (H, W, 3), changed in place.
        source_map: (H, W, 2) that drew it.
        folds: (H, W) work space.
    """
    height, width = folds.shape
    for row in range(height):
        for column in range(width):
            folds[row, column] = False
    for row in range(height - 1):
        for column in range(width - 1):
            x, y = source_map[row, column, 0], source_map[row, column, 1]
            right = abs(source_map[row, column + 1, 0] - x - 1) + abs(source_map[row, column + 1, 1] - y)
            below = abs(source_map[row + 1, column, 0] - x) + abs(source_map[row + 1, column, 1] - y - 1)
            if right > _FOLD:
                folds[row, column] = folds[row, column + 1] = True
            if below > _FOLD:
                folds[row, column] = folds[row + 1, column] = True
    # rows above and to the left are blended already when they are read: a slight smear along the fold, no stairs
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            if folds[row, column]:
                for channel in range(3):
                    total = 4 * int(frame[row, column, channel])
                    total += 2 * int(frame[row - 1, column, channel]) + 2 * int(frame[row + 1, column, channel])
                    total += 2 * int(frame[row, column - 1, channel]) + 2 * int(frame[row, column + 1, channel])
                    total += int(frame[row - 1, column - 1, channel]) + int(frame[row - 1, column + 1, channel])
                    total += int(frame[row + 1, column - 1, channel]) + int(frame[row + 1, column + 1, channel])
                    frame[row, column, channel] = np.uint8((total + 8) // 16)
