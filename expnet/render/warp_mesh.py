"""The mesh that warps the whole portrait: the tracked face, lash bands, eyeballs, and rings out to the background.

One continuous mesh has no holes or seams. The face follows its points. Rings of vertices around the face oval carry
hair, ears and neck: near the oval they follow the head completely, farther out their motion fades to zero, so that
background, shoulders and the rest of the image stay identical, pixel for pixel.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expnet.face.landmarks import FACE_OVAL, INNER_LIP_LOOP, LEFT_EYE_LOOP, MESH_POINTS, RIGHT_EYE_LOOP
from expnet.render.lids import CORNERS, LOWER_LIDS, UPPER_LIDS
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.portrait_motion import PortraitMotion, Pose

Array = NDArray[np.float64]

# Radii as multiples of the face oval's, above, beside and below the face: up to the first everything belongs to the
# head (hair, ears), and at the second everything is still.
_HEAD_ABOVE, _STILL_ABOVE = 1.45, 2.3
_HEAD_BESIDE, _STILL_BESIDE = 1.35, 2.2
_HEAD_BELOW, _STILL_BELOW = 1.0, 2.0
# The fade from moving to still spans at least this much, however little space there is.
_LEAST_FADE = 0.4
_RINGS = 12
# Loss of depth per distance from the face's edge.
_FALL = 1.0
# Distance below the chin, in the same unit, over which the chin's own motion fades out.
_JAW_REACH = 0.6
# Width of the band around an eye's opening (lashes, wet edge) that keeps its shape when the lid moves, relative to the
# eye's width, and its limit as a share of the distance to the next row of skin points.
_LASH_BAND, _LASH_LIMIT = 0.07, 0.5


@dataclass(frozen=True)
class WarpMesh:
    """Triangles, and where their vertices lie in the portrait.

    The vertices are, in this order: 468 face points, lash bands, eyeballs, rings.

    Attributes:
        sources: (V, 2) pixel positions in the portrait.
        triangles: (F, 3) int32 vertex indices.
        lash_parent: (32,) face point that each lash vertex follows.
        lash_offset: (32, 3) offset from that point, in face space.
        ring_rest: (N, 3) ring vertices in face space.
        ring_head: (N,) share of the head's motion that each ring vertex follows.
        ring_jaw: (N,) share of the expression motion of its oval point that it follows.
        ring_parent: (N,) that oval point.
    """

    sources: Array
    triangles: NDArray[np.int32]
    lash_parent: NDArray[np.int64]
    lash_offset: Array
    ring_rest: Array
    ring_head: Array
    ring_jaw: Array
    ring_parent: NDArray[np.int64]

    def place(self, motion: PortraitMotion, moved: Array, camera: Pose) -> tuple[Array, Array]:
        """Project one frame.

        Args:
            motion: Motion of the portrait.
            moved: (468, 3) displacements of the face points in face space.
            camera: Pose of the frame.

        Returns:
            Vertices (V, 3): pixel x, y and depth. Sources (V, 2): their positions in the portrait, which differ from
            ``self.sources`` in the eyeballs, and along the inner lips where the mouth closes.
        """
        receding = motion.recede(camera)
        face = motion.vertices + moved + receding
        lashes = face[self.lash_parent] + self.lash_offset
        rings = self.ring_rest + self.ring_jaw[:, None] * moved[self.ring_parent] + receding[self.ring_parent]
        placed = camera.project(np.concatenate([face, lashes, face[_LID_LOOPS], rings]))
        ring_sources = self.sources[-len(rings) :]
        # Still position plus a share of the motion: the head's motion and, through ``rings``, that of the jaw.
        placed[-len(rings) :, :2] = ring_sources + self.ring_head[:, None] * (placed[-len(rings) :, :2] - ring_sources)
        sources = self.sources.copy()
        balls = slice(MESH_POINTS + len(lashes), MESH_POINTS + len(lashes) + len(_LID_LOOPS))
        sources[balls] = _eyeball_sources(motion, moved)
        motion.lips.tuck(sources, moved)
        return placed, sources


_LID_LOOPS = np.array(RIGHT_EYE_LOOP + LEFT_EYE_LOOP)
# Direction in which a lid point moves when the eye closes: upper lids down, lower lids up, corners not at all.
_CLOSING = np.where(np.isin(_LID_LOOPS, UPPER_LIDS), -1.0, np.where(np.isin(_LID_LOOPS, LOWER_LIDS), 1.0, 0.0))


def build_warp_mesh(motion: PortraitMotion, points: Array, triangles: NDArray, size: tuple[int, int]) -> WarpMesh:
    """Build the mesh of one portrait.

    Args:
        motion: Motion of the portrait.
        points: (478, 3) tracked points in pixels.
        triangles: (F, 3) triangles of the face model.
        size: (height, width) of the portrait.
    """
    face = np.asarray(points[:MESH_POINTS, :2], np.float64)
    skin = _skin_triangles(np.asarray(triangles))
    lash_positions, lash_source = _lash_band(motion, skin)
    lashes = MESH_POINTS + np.arange(len(_LID_LOOPS))
    balls = lashes + len(_LID_LOOPS)
    skin = np.where(np.isin(skin, _LID_LOOPS), lashes[_position_in_loops(skin)], skin)
    rings = _Rings(motion, face, size)
    first_ring = balls[-1] + 1
    parts = [
        skin,
        _bands(_LID_LOOPS, lashes),
        _eyeballs(balls),
        _strip(UPPER_ROWS[0], LOWER_ROWS[0]),
        rings.triangles(first_ring),
    ]
    return WarpMesh(
        sources=np.concatenate([face, lash_source, face[_LID_LOOPS], rings.sources]),
        triangles=np.concatenate(parts).astype(np.int32),
        lash_parent=_LID_LOOPS,
        lash_offset=lash_positions - motion.vertices[_LID_LOOPS],
        ring_rest=rings.rest,
        ring_head=rings.head,
        ring_jaw=rings.jaw,
        ring_parent=rings.parent,
    )


def _skin_triangles(triangles: NDArray) -> NDArray:
    """Leave out the face model's triangles inside the eyes and the mouth, which are built here."""
    inside = np.zeros(len(triangles), bool)
    for loop in (RIGHT_EYE_LOOP, LEFT_EYE_LOOP, INNER_LIP_LOOP):
        inside |= np.isin(triangles, loop).all(axis=1)
    return triangles[~inside]


def _position_in_loops(indices: NDArray) -> NDArray:
    lookup = np.zeros(MESH_POINTS, np.int64)
    lookup[_LID_LOOPS] = np.arange(len(_LID_LOOPS))
    return lookup[indices]


def _lash_band(motion: PortraitMotion, skin: NDArray) -> tuple[Array, Array]:
    """Vertices just outside each lid point, toward the skin points that it is connected to.

    Returns:
        Positions (32, 3) in face space and (32, 2) in pixels.
    """
    positions = np.empty((len(_LID_LOOPS), 3))
    for slot, point in enumerate(_LID_LOOPS):
        around = np.unique(skin[(skin == point).any(axis=1)])
        around = around[~np.isin(around, _LID_LOOPS)]
        loop = RIGHT_EYE_LOOP if slot < len(RIGHT_EYE_LOOP) else LEFT_EYE_LOOP
        width = np.linalg.norm(motion.vertices[loop[0]] - motion.vertices[loop[8]])
        outward = motion.vertices[around].mean(axis=0) - motion.vertices[point]
        reach = min(_LASH_BAND * width / np.linalg.norm(outward), _LASH_LIMIT)
        positions[slot] = motion.vertices[point] + reach * outward
    return positions, motion.camera.project(positions)[:, :2]


def _bands(inner: NDArray, outer: NDArray) -> NDArray:
    """Quads between the lid loops and the lash loops, as triangles."""
    half = len(RIGHT_EYE_LOOP)
    quads = []
    for start in (0, half):
        for k in range(half):
            a, b = start + k, start + (k + 1) % half
            quads += [(inner[a], inner[b], outer[a]), (inner[b], outer[b], outer[a])]
    return np.array(quads)


def _eyeballs(balls: NDArray) -> NDArray:
    """Strips between the upper and lower lids, over the eyeballs' own vertices."""
    strips = []
    for upper, lower, corners in zip(UPPER_LIDS, LOWER_LIDS, CORNERS, strict=True):
        rows = [(corners[0], *row, corners[1]) for row in (upper, lower)]
        strips.append(_strip(*(balls[_position_in_loops(np.array(row))] for row in rows)))
    return np.concatenate(strips)


def _strip(upper: NDArray | tuple[int, ...], lower: NDArray | tuple[int, ...]) -> NDArray:
    """Triangles between two rows that share their first and last vertex, or its position."""
    quads = []
    for k in range(len(upper) - 1):
        quads += [(upper[k], upper[k + 1], lower[k]), (upper[k + 1], lower[k + 1], lower[k])]
    return np.array([t for t in quads if len(set(t)) == 3])


def _eyeball_sources(motion: PortraitMotion, moved: Array) -> Array:
    """Positions in the portrait that show at the lids' edges: the eyeball does not move with the lids.

    A closing lid shows the part of the eyeball that was already there. A lid that opens wider than in the portrait
    would uncover pixels that do not exist, so the eyeball is stretched a little instead.
    """
    shift = moved[_LID_LOOPS]
    shift[:, [0, 2]] = 0.0
    shift[:, 1] = _CLOSING * np.maximum(_CLOSING * shift[:, 1], 0.0)
    return motion.camera.project(motion.vertices[_LID_LOOPS] + shift)[:, :2]


class _Rings:
    """Rings of vertices around the face oval, from the head's edge to the still background."""

    def __init__(self, motion: PortraitMotion, face: Array, size: tuple[int, int]) -> None:
        oval = np.array(FACE_OVAL)
        centre = face[oval].mean(axis=0)
        spokes = face[oval] - centre  # (36, 2)
        down = (
            motion.camera.project(np.array([[0.0, -1.0, 0.0]]))[0, :2] - motion.camera.project(np.zeros((1, 3)))[0, :2]
        )
        down /= np.linalg.norm(down)
        below = (spokes @ down) / np.linalg.norm(spokes, axis=1)  # cosine: 1 at the chin, -1 at the forehead
        head, still = _extents(below)
        still = _stop_at_border(centre, spokes, head, still, size)
        head = np.minimum(head, 0.5 * (1.0 + still))
        steps = np.linspace(0.0, 1.0, _RINGS + 1)[1:] ** 1.3
        reach = 1.0 + steps[:, None] * (still - 1.0)  # (rings, 36)
        self.sources = (centre + reach[..., None] * spokes).reshape(-1, 2)
        self.parent = np.tile(oval, _RINGS)
        fade = np.clip((reach - head) / np.maximum(still - head, 1e-6), 0.0, 1.0)
        self.head = (1.0 - fade * fade * (3.0 - 2.0 * fade)).reshape(-1)
        jaw = np.clip(1.0 - (reach - 1.0) / _JAW_REACH, 0.0, 1.0)
        self.jaw = (jaw * jaw * (3.0 - 2.0 * jaw)).reshape(-1)
        # Ears lie as deep as the sides of the face; hair and neck fall back to that depth.
        depth = motion.vertices[oval] @ motion.camera.rotation[2]
        away = (reach - 1.0) * np.linalg.norm(spokes, axis=1) / motion.camera.scale
        depth = np.maximum(depth - _FALL * away, np.minimum(np.quantile(depth, 0.25), depth))
        self.rest = motion.camera.lift(self.sources, depth.reshape(-1))

    def triangles(self, first: int) -> NDArray:
        """Triangles between neighbouring rings; the innermost ring joins the oval."""
        count = len(FACE_OVAL)
        grid = np.concatenate([[FACE_OVAL], first + np.arange(_RINGS * count).reshape(_RINGS, count)])
        here, right = grid, np.roll(grid, -1, axis=1)
        a, b, c, d = here[:-1], right[:-1], here[1:], right[1:]
        return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])


def _extents(below: Array) -> tuple[Array, Array]:
    """Radii of the head's edge and of stillness, for each direction."""
    up, down = np.clip(-below, 0.0, 1.0) ** 2, np.clip(below, 0.0, 1.0) ** 2
    side = 1.0 - up - down
    head = up * _HEAD_ABOVE + side * _HEAD_BESIDE + down * _HEAD_BELOW
    still = up * _STILL_ABOVE + side * _STILL_BESIDE + down * _STILL_BELOW
    return head, still


def _stop_at_border(centre: Array, spokes: Array, head: Array, still: Array, size: tuple[int, int]) -> Array:
    """Let the motion fade out before the image border, unless the head itself is cut off.

    A border that moves inward would uncover pixels outside the photograph.
    """
    limits = np.where(spokes > 0, np.array(size[::-1]) - 1.0 - centre, centre)  # (36, 2) to the border along x, y
    room = (limits / np.maximum(np.abs(spokes), 1e-6)).min(axis=1)
    return np.minimum(still, np.maximum(room, head + _LEAST_FADE))
