"""Closing eyelids: which part of an expression closes the lids, and how closed lids are painted on the portrait.

Stretching the thin strip of visible lid over the eyeball would smear lashes and make-up. A closing lid is therefore
painted on the portrait before the mesh warps it: skin, filled in smoothly from the colours around the eye, with the
portrait's own lash line along its edge. The eyeball underneath does not move. Lids that open *wider* than in the
portrait are handled by the mesh like everything else.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from expnet.render.lid_paint import paint_lid

Array = NDArray[np.float64]

# Lid contours from the outer to the inner corner, without the corners, and the rows of skin points behind them.
UPPER_LIDS = ((246, 161, 160, 159, 158, 157, 173), (466, 388, 387, 386, 385, 384, 398))
LOWER_LIDS = ((7, 163, 144, 145, 153, 154, 155), (249, 390, 373, 374, 380, 381, 382))
CORNERS = ((33, 133), (263, 362))
_UPPER_SKIN = ((247, 30, 29, 27, 28, 56, 190), (467, 260, 259, 257, 258, 286, 414))
_BROW_SKIN = ((113, 225, 224, 223, 222, 221, 189), (342, 445, 444, 443, 442, 441, 413))
_CHEEKS = (50, 280)
_LOWER_SKIN = ((25, 110, 24, 23, 22, 26, 112), (255, 339, 254, 253, 252, 256, 341))

# Opening that the tracker reports for shut lids, as a share of the open eye's.
_SHUT = 0.25
# Height at which the closed lids meet, as a share of the opening, measured from the lower lid.
_SEAL = 0.06
# Extent of the filled patch: upward from the fold of the lid toward the brow, which covers the lashes; downward from
# the lower lid toward the skin below it.
_PATCH_ABOVE, _PATCH_BELOW = 0.6, 0.5
# Ends of the patch along the eye; lashes extend beyond the outer corner.
_PATCH_OUTER, _PATCH_INNER = -0.16, 0.98
# Brightening in the middle of the closed lid, which bulges over the eyeball.
_BULGE = 0.05
# Skin grain: half the side of the cheek patch that it is copied from and the blur that separates it from shading, as
# shares of the eye's width; and the clipping limit in standard deviations, which excludes moles.
_GRAIN_REACH, _GRAIN_WIDTH, _GRAIN_LIMIT = 0.3, 0.06, 2.5
# Exponent of the brightness that weights the skin around the patch.
_BRIGHT_BIAS = 4.0


class LidMotion:
    """Splits lid displacements into the closing part, which is painted, and the rest, which stays in the mesh.

    Args:
        fitted: (468, 3) the face model's fit of the portrait.
    """

    def __init__(self, fitted: Array) -> None:
        self._upper, self._lower = np.array(UPPER_LIDS), np.array(LOWER_LIDS)  # (2, 7)
        self._opening = np.maximum(self._between(fitted).mean(axis=-1), 0.01)

    def _between(self, vertices: Array) -> Array:
        """Heights of each eye's opening at seven points, (..., 2, 7)."""
        return vertices[..., self._upper, 1] - vertices[..., self._lower, 1]

    def closure(self, moved: Array, blink: NDArray | None) -> Array:
        """Remove the closing of the lids from displacements (T, 468, 3), in place.

        Args:
            moved: Displacements of the portrait's points in face space.
            blink: (T,) or (T, 2) additional closure in [0, 1], or None.

        Returns:
            (T, 2) closure of the subject's right and left eye: 0 as in the portrait, 1 shut.
        """
        change = self._between(moved)  # (T, 2, 7)
        closure = np.clip(-change.mean(axis=-1) / (self._opening * (1.0 - _SHUT)), 0.0, 1.0)
        narrowing = np.minimum(change, 0.0)
        moved[:, self._upper, 1] -= 0.5 * narrowing
        moved[:, self._lower, 1] += 0.5 * narrowing
        if blink is None:
            return closure
        track = np.clip(np.asarray(blink, np.float64), 0.0, 1.0).reshape(len(moved), -1)
        return np.maximum(closure, track)


class LidPainter:
    """Paints closed lids on the portrait.

    Args:
        padded: The padded portrait that the sampler reads, (H + 2 margin, W + 2 margin, 4) float32.
        margin: Its padding in pixels.
        points: (478, 3) tracked points in pixels of the portrait.
    """

    def __init__(self, padded: NDArray[np.float32], margin: int, points: NDArray) -> None:
        pixels = np.asarray(points[:, :2], np.float64) + margin
        self._eyes = [_Eye(padded, pixels, side) for side in (0, 1)]
        self._painted = [0.0, 0.0]

    def paint(self, padded: NDArray[np.float32], closure: Array) -> None:
        """Paint the eyes of ``padded`` at the given closure (2,), in place."""
        for side, eye in enumerate(self._eyes):
            if closure[side] != self._painted[side]:
                eye.paint(padded, float(closure[side]))
                self._painted[side] = closure[side]


class _Eye:
    """One eye: its box in the padded portrait, its axes, and the painted patch of the closed lid."""

    def __init__(self, padded: NDArray[np.float32], pixels: Array, side: int) -> None:
        corners = list(CORNERS[side])
        start, end = pixels[corners]
        width = max(float(np.linalg.norm(end - start)), 1.0)
        along = (end - start) / width
        down = np.array([-along[1], along[0]])
        if down @ (pixels[list(_LOWER_SKIN[side])].mean(axis=0) - pixels[list(_UPPER_SKIN[side])].mean(axis=0)) < 0:
            down = -down
        rows = {
            "skin_above": _between(pixels, _UPPER_SKIN[side], _BROW_SKIN[side], _PATCH_ABOVE),
            "upper": pixels[[corners[0], *UPPER_LIDS[side], corners[1]]],
            "lower": pixels[[corners[0], *LOWER_LIDS[side], corners[1]]],
            "skin_below": pixels[list(_LOWER_SKIN[side])],
        }
        everything = np.concatenate(list(rows.values()))
        spare = int(0.25 * width) + 3
        first = np.maximum(np.floor(everything.min(axis=0)).astype(int) - spare, 0)
        last = np.minimum(np.ceil(everything.max(axis=0)).astype(int) + spare, np.array(padded.shape[1::-1]))
        self._box = (slice(first[1], last[1]), slice(first[0], last[0]))
        grid = np.mgrid[self._box].astype(np.float64)[::-1].transpose(1, 2, 0) - start  # (h, w, 2) x, y from the corner
        across, height = grid @ along, grid @ down
        curves = {name: _curve(row - start, along, down, across) for name, row in rows.items()}
        self._upper, self._lower, self._height = curves["upper"], curves["lower"], height
        top = curves["skin_above"]
        bottom = curves["lower"] + _PATCH_BELOW * (curves["skin_below"] - curves["lower"]) * (across > 0)
        inside = (across > _PATCH_OUTER * width) & (across < _PATCH_INNER * width) & (height > top) & (height < bottom)
        self._open = padded[self._box].copy()
        self._closed = _fill(self._open, inside, width)
        self._closed[..., :3] += inside[..., None] * _grain(padded, pixels[_CHEEKS[side]], width, inside.shape)
        bulge = np.clip((height - top) / np.maximum(bottom - top, 1e-6), 0.0, 1.0)
        ends = np.clip(across / width, 0.0, 1.0)
        light = 1.0 + _BULGE * 4.0 * bulge * (1.0 - bulge) * np.sqrt(4.0 * ends * (1.0 - ends))
        self._closed *= light[..., None].astype(np.float32)
        feather = 0.07 * width
        depth = ndimage.distance_transform_edt(inside)
        self._inside = np.clip(depth / max(feather, 1.0), 0.0, 1.0)
        self._band = 0.10 * width
        self._down, self._unit = down, width

    def paint(self, padded: NDArray[np.float32], closure: float) -> None:
        """Paint the eye at the given closure into the padded portrait."""
        target = padded[self._box]
        target[:] = self._open
        if closure > 0.0:
            edge = self._upper + closure * np.maximum((1.0 - _SEAL) * (self._lower - self._upper), 0.0)
            paint_lid(
                target,
                self._open,
                self._closed,
                self._inside,
                self._height,
                edge,
                edge - self._upper,
                self._down,
                self._band,
                closure,
            )


def _between(pixels: Array, first: tuple[int, ...], second: tuple[int, ...], share: float) -> Array:
    return (1.0 - share) * pixels[list(first)] + share * pixels[list(second)]


def _curve(row: Array, along: Array, down: Array, across: Array) -> Array:
    """Height of a row of points, interpolated along the eye at every pixel of the box."""
    places, heights = row @ along, row @ down
    order = np.argsort(places)
    return np.interp(across, places[order], heights[order])


def _fill(patch: NDArray[np.float32], inside: NDArray[np.bool_], width: float) -> NDArray[np.float32]:
    """Fill a region smoothly from its boundary by solving Laplace's equation."""
    filled = patch.astype(np.float64)
    index = np.full(inside.shape, -1)
    inside = inside.copy()
    inside[[0, -1]] = inside[:, [0, -1]] = False
    rows, columns = np.nonzero(inside)
    if len(rows) == 0:
        return patch.copy()
    index[rows, columns] = np.arange(len(rows))
    # Boundary colours are smoothed, so that a single lash does not leave a streak, and brighter ones weigh more, which
    # prefers skin to lashes, brows and creases.
    skin = ~inside * (filled[..., :3].mean(axis=-1) / 255.0 + 0.02) ** _BRIGHT_BIAS
    sigma = 0.06 * width
    weight = np.maximum(ndimage.gaussian_filter(skin, sigma), 1e-12)
    edge = np.stack([ndimage.gaussian_filter(filled[..., c] * skin, sigma) / weight for c in range(3)], axis=-1)
    right_side = np.zeros((len(rows), 3))
    entries: list[tuple[NDArray, NDArray]] = []
    for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        neighbour = index[rows + step[0], columns + step[1]]
        free = neighbour >= 0
        entries.append((np.nonzero(free)[0], neighbour[free]))
        right_side[~free] += edge[rows[~free] + step[0], columns[~free] + step[1]]
    lines = np.concatenate([e[0] for e in entries])
    places = np.concatenate([e[1] for e in entries])
    size = len(rows)
    matrix = sparse.csc_matrix((-np.ones(len(lines)), (lines, places)), shape=(size, size)) + 4.0 * sparse.eye(size)
    solution = np.stack([spsolve(matrix.tocsc(), right_side[:, c]) for c in range(3)], axis=-1)
    filled[rows, columns, :3] = solution
    return filled.astype(np.float32)


def _grain(padded: NDArray[np.float32], centre: Array, width: float, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """High-frequency texture of a cheek patch, mirrored until it covers ``shape`` (h, w): (h, w, 3).

    Without it the lid would look airbrushed, most of all in drawings and grainy photographs.
    """
    reach = max(int(_GRAIN_REACH * width), 2)
    column, row = np.clip(centre.round().astype(int), reach, np.array(padded.shape[1::-1]) - reach)
    piece = padded[row - reach : row + reach, column - reach : column + reach, :3]
    fine = piece - ndimage.gaussian_filter(piece, (max(_GRAIN_WIDTH * width, 1.0),) * 2 + (0,))
    limit = _GRAIN_LIMIT * fine.std()
    repeats = [(0, max(size - 2 * reach, 0)) for size in shape]
    return np.pad(np.clip(fine, -limit, limit), (*repeats, (0, 0)), mode="symmetric")[: shape[0], : shape[1]]
