"""Square pieces of a face that a network can look at: where they lie in a picture, and what moves in them.

A region goes with the head and not with the expression: its middle and its size are those of the portrait's own face
at rest, so that a mouth that opens opens inside of its piece. In all of them up is up on the head, and the left eye is
mirrored: one network serves both eyes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from expnet.face.landmarks import FACE_OVAL, OUTER_LIP_LOOP
from expnet.render.lids import CORNERS, LOWER_LIDS, UPPER_LIDS
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.portrait_motion import PortraitMotion, Pose

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Opening:
    """Two rows of face points, corner to corner, with something else between them than skin.

    Attributes:
        upper: upper edge.
        lower: lower edge.
        eye: of the closure that is painted, 0 for the subject's right eye, 1 for the left; None for the mouth.
    """

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    eye: int | None = None


@dataclass(frozen=True)
class Region:
    """One piece of the face.

    Attributes:
        kind: which of a refiner's networks it belongs to.
        corners: two face points; their middle is the region's, their distance its unit.
        reach: side of the square in that unit.
        drop: how far its middle lies below theirs, in that unit.
        openings: in it.
        points: face points whose motion says how much is new in it.
        mirrored: left and right are exchanged.
    """

    kind: str
    corners: tuple[int, int]
    reach: float
    drop: float
    openings: tuple[Opening, ...]
    points: tuple[int, ...]
    mirrored: bool = False


_MOUTH = Opening(tuple(UPPER_ROWS[0]), tuple(LOWER_ROWS[0]))
_EYES = tuple(
    Opening((corners[0], *upper, corners[1]), (corners[0], *lower, corners[1]), eye)
    for eye, (corners, upper, lower) in enumerate(zip(CORNERS, UPPER_LIDS, LOWER_LIDS, strict=True))
)
_CHIN = (152, 148, 377, 176, 400, 18, 200, 199)

REGIONS: dict[str, tuple[Region, ...]] = {
    "mouth": (Region("mouth", (61, 291), 2.0, 0.15, (_MOUTH,), (*OUTER_LIP_LOOP, *_CHIN)),),
    "eye": tuple(
        Region("eye", CORNERS[eye], 2.0, 0.0, (_EYES[eye],), (*_EYES[eye].upper, *_EYES[eye].lower), eye == 1)
        for eye in (0, 1)
    ),
    "face": (Region("face", (33, 263), 2.6, 0.6, (_MOUTH, *_EYES), (*OUTER_LIP_LOOP, *_CHIN, *FACE_OVAL)),),
}
"""The regions of each kind; ``face`` is the way to a renderer that draws all of it, on a GPU."""


@dataclass(frozen=True, eq=False)
class Placement:
    """A square in a picture: pixel = middle + u across + v down, with u and v from -1/2 to 1/2.

    Attributes:
        middle: (2,) pixel x and y.
        across: (2,) from the square's left side to its right one, in pixels.
        down: (2,) from its upper side to its lower one, as long and at a right angle.
    """

    middle: Array
    across: Array
    down: Array

    @cached_property
    def side(self) -> float:
        """Pixels."""
        return float(np.hypot(*self.across))

    def inside(self, pixels: Array) -> Array:
        """Places (..., 2) of pixels (..., 2) in the square: 0 to 1 from left to right and from top to bottom."""
        offset = (pixels - self.middle) / self.side**2
        return np.stack([offset @ self.across, offset @ self.down], axis=-1) + 0.5


def place(region: Region, motion: PortraitMotion, camera: Pose) -> Placement:
    """Where a region lies under a pose of the head."""
    first, second = (motion.vertices - motion.first_displacement)[list(region.corners)]
    unit = float(np.linalg.norm(second - first)) * camera.scale
    anchors = camera.project(np.stack([(first + second) / 2, np.zeros(3), np.array([1.0, 0.0, 0.0])]))[:, :2]
    right = anchors[2] - anchors[1]
    right /= np.hypot(*right)
    below = np.array([-right[1], right[0]])
    side = region.reach * unit
    across = -right if region.mirrored else right
    return Placement(anchors[0] + region.drop * unit * below, side * across, side * below)


def opening_mask(placement: Placement, upper: Array, lower: Array, size: int) -> NDArray[np.float32]:
    """How much of each of the square's pixels lies between two rows of points.

    Args:
        placement: the square.
        upper: (N, 2) pixels of the upper edge.
        lower: (N, 2) of the lower one.
        size: pixels of the square's side, S.

    Returns:
        (S, S) from 0 to 1.
    """
    rows = []
    columns = np.arange(size, dtype=np.float64)
    for edge, outside in ((upper, np.inf), (lower, -np.inf)):
        places = placement.inside(edge) * size - 0.5
        order = np.argsort(places[:, 0])
        rows.append(np.interp(columns, places[order, 0], places[order, 1], left=outside, right=outside))
    top, bottom = rows
    heights = columns[:, None]
    return np.clip(np.minimum(heights - top, bottom - heights) + 0.5, 0.0, 1.0).astype(np.float32)
