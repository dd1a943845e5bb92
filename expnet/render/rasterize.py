"""The inner loops of the mesh renderer: triangles -> source positions, and source positions -> pixels.

Triangles are drawn with a z-buffer, but each pixel receives a position in the portrait instead of a colour; a second
pass samples those positions with a sharp cubic filter. Positions are pixel indices: the centre of the top-left pixel is
(0, 0). Both loops run on one thread in a fixed order, so equal input gives identical bits.
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
"""Pixels of padding around the portrait: how far outside a position may lie before it is clamped."""

# Free parameter of the cubic filter. -0.5 is Catmull-Rom; -0.7 preserves more of the sharpness that a warp loses
# (measured on portraits shifted by half a pixel) without visible ringing around the eyes.
_CUBIC = -0.7
_FOLD = 2.0
# Offsets of a pixel's channels from its first, unsigned; see `sample`.
_GREEN, _BLUE, _OPACITY, _CHANNELS = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


def compiled(function: Function, *, fast: bool = False) -> Function:
    """Compile with numba, and cache the machine code on disk where a folder is writable.

    Args:
        function: The loop to compile.
        fast: Allow contracted and reordered sums of products. This is fixed at compile time: every run gives the same
            bits.
    """
    try:
        kernel: Any = numba.njit(cache=True, nogil=True, fastmath=fast)(function)
    except RuntimeError:  # no folder for the cache: a read-only installation without a home directory
        kernel = numba.njit(nogil=True, fastmath=fast)(function)
    return kernel


compiled_fast = partial(compiled, fast=True)


@compiled_fast
def cubic_weights(fraction: np.float32) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Weights of the four neighbours for a fraction in [0, 1); (0, 1, 0, 0) at 0."""
    one, sharpness = np.float32(1.0), np.float32(_CUBIC)
    rest = one - fraction
    w0 = sharpness * fraction * rest * rest
    w3 = sharpness * rest * fraction * fraction
    w1 = ((sharpness + np.float32(2.0)) * fraction - (sharpness + np.float32(3.0))) * fraction * fraction + one
    return w0, w1, one - w0 - w1 - w3, w3


@compiled_fast
def fetch(padded: Float, x: float, y: float, channel: int) -> float:
    """Cubic sample of the padded portrait at padded coordinates."""
    x = min(max(x, 1.0), padded.shape[1] - 3.0)
    y = min(max(y, 1.0), padded.shape[0] - 3.0)
    left, top = int(x), int(y)
    wx = cubic_weights(np.float32(x - left))
    wy = cubic_weights(np.float32(y - top))
    total = 0.0
    for j in range(4):
        for i in range(4):
            total += float(wy[j] * wx[i]) * float(padded[top + j - 1, left + i - 1, channel])
    return total


def pad_image(image: NDArray, margin: int = PADDING) -> Float:
    """Pad an image by repeating its edges, so that the sampler needs no special cases.

    Repetition continues hair that is cut off at the border, where mirroring would show it twice.

    Args:
        image: (H, W, 4) colours times opacity and opacity, or (H, W, 3) opaque colours.
        margin: Pixels added on each side.

    Returns:
        (H + 2 margin, W + 2 margin, 4) float32.
    """
    height, width = image.shape[:2]
    layers = np.ones((height, width, 4), np.float32)
    layers[..., : image.shape[2]] = image
    return np.pad(layers, ((margin, margin), (margin, margin), (0, 0)), mode="edge")


def identity_map(height: int, width: int) -> Float:
    """Source map (H, W, 2), x and y, in which every pixel maps to itself."""
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
        vertices: (V, 3) pixel x, pixel y and depth (larger is nearer).
        sources: (V, 2) positions in the portrait.
        triangles: (F, 3) vertex indices; both windings are drawn.
        source_map: (H, W, 2), changed in place where a triangle covers the pixel's centre.
        depth_buffer: (H, W), changed in place; initially -inf.
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
        # Displacements are interpolated instead of positions, because at rest they are exactly zero.
        ux, uy, uz = sources[a, 0] - ax, sources[a, 1] - ay, vertices[a, 2]
        vx = sources[b, 0] - vertices[b, 0] - ux
        vy = sources[b, 1] - vertices[b, 1] - uy
        vz = vertices[b, 2] - uz
        wx = sources[c, 0] - vertices[c, 0] - ux
        wy = sources[c, 1] - vertices[c, 1] - uy
        wz = vertices[c, 2] - uz
        inverse = 1.0 / area
        # Barycentric coordinates: beta = (px cy - py cx) / area, gamma = (py bx - px by) / area.
        beta_x, beta_y = cy * inverse, -cx * inverse
        gamma_x, gamma_y = -by * inverse, bx * inverse
        for row in range(top, bottom + 1):
            py = row - ay
            low, high = -np.inf, np.inf
            # Each of beta >= 0, gamma >= 0 and beta + gamma <= 1 is an interval of px in this row. A small tolerance
            # avoids cracks between neighbouring triangles.
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
    """Sample the moving layer at the mapped positions with a cubic filter, and composite it over the background.

    Indices are unsigned, and a row is sampled before it is composited, because only then does the compiler vectorise
    over the four channels of a pixel: signed indices may count from the end, which costs a check at every access.

    Args:
        padded: Result of `pad_image`, (H + 2 margin, W + 2 margin, 4).
        source_map: (H, W, 2) positions x, y in the unpadded portrait.
        margin: The padding in pixels.
        background: (H, W, 3) colours that show where the layer is not opaque.
        out: (H, W, 3) uint8 output.
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
    """Blend pixels along folds, where a nearer part of the mesh hides another, to avoid staircase edges.

    A fold lies between neighbouring pixels whose sources are more than ``_FOLD`` pixels apart.

    Args:
        frame: (H, W, 3), changed in place.
        source_map: (H, W, 2) source map of the frame.
        folds: (H, W) workspace.
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
    # Rows above and pixels to the left are already blended when they are read: a slight blur along the fold, no stairs.
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
