"""Square regions of a face that a network can look at: where they lie in a frame, and which points move in them.

A region follows the head and not the expression: its middle and size are those of the portrait's face at rest, so an
opening mouth opens inside its region. In every region, up is up on the head; the left eye is mirrored so that one
network serves both eyes.
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
    """Two rows of face points, corner to corner, that enclose something other than skin.

    Attributes:
        upper: Upper edge.
        lower: Lower edge.
        eye: Eye whose painted closure applies: 0 for the subject's right, 1 for the left, None for the mouth.
    """

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    eye: int | None = None


@dataclass(frozen=True)
class Region:
    """One region of the face.

    Attributes:
        kind: Which of a refiner's networks it belongs to.
        corners: Two face points; their midpoint is the region's anchor and their distance its unit.
        reach: Side of the square, in that unit.
        drop: Distance of the square's middle below the anchor, in that unit.
        openings: Openings in the region.
        points: Face points whose motion measures how much has changed in the region.
        mirrored: Whether left and right are exchanged.
        confined: Whether changes are confined to the first of the openings.
    """

    kind: str
    corners: tuple[int, int]
    reach: float
    drop: float
    openings: tuple[Opening, ...]
    points: tuple[int, ...]
    mirrored: bool = False
    confined: bool = False


_MOUTH = Opening(tuple(UPPER_ROWS[0]), tuple(LOWER_ROWS[0]))
_EYES = tuple(
    Opening((corners[0], *upper, corners[1]), (corners[0], *lower, corners[1]), eye)
    for eye, (corners, upper, lower) in enumerate(zip(CORNERS, UPPER_LIDS, LOWER_LIDS, strict=True))
)
_CHIN = (152, 148, 377, 176, 400, 18, 200, 199)

REGIONS: dict[str, tuple[Region, ...]] = {
    "mouth": (Region("mouth", (61, 291), 2.0, 0.15, (_MOUTH,), (*OUTER_LIP_LOOP, *_CHIN)),),
    "inner_mouth": (Region("inner_mouth", (61, 291), 1.35, 0.12, (_MOUTH,), (*OUTER_LIP_LOOP, *_CHIN), confined=True),),
    "eye": tuple(
        Region("eye", CORNERS[eye], 2.0, 0.0, (_EYES[eye],), (*_EYES[eye].upper, *_EYES[eye].lower), eye == 1)
        for eye in (0, 1)
    ),
    "face": (Region("face", (33, 263), 2.6, 0.6, (_MOUTH, *_EYES), (*OUTER_LIP_LOOP, *_CHIN, *FACE_OVAL)),),
}
"""The regions of each kind; ``face`` prepares for a renderer that generates the whole face on a GPU."""


@dataclass(frozen=True, eq=False)
class Placement:
    """A square in an image: pixel = middle + u across + v down, with u and v in [-1/2, 1/2].

    Attributes:
        middle: (2,) centre, pixel x and y.
        across: (2,) vector from the square's left side to its right side, in pixels.
        down: (2,) vector from its upper side to its lower side, of the same length and at a right angle.
    """

    middle: Array
    across: Array
    down: Array

    @cached_property
    def side(self) -> float:
        """Side in pixels."""
        return float(np.hypot(*self.across))

    def inside(self, pixels: Array) -> Array:
        """Positions (..., 2) of pixels (..., 2) in the square: 0 to 1 from left to right and from top to bottom."""
        offset = (pixels - self.middle) / self.side**2
        return np.stack([offset @ self.across, offset @ self.down], axis=-1) + 0.5


def place(region: Region, motion: PortraitMotion, camera: Pose) -> Placement:
    """Position of a region under a pose of the head."""
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
    """Coverage of each of the square's pixels by the area between two rows of points.

    Args:
        placement: The square.
        upper: (N, 2) pixels of the upper edge.
        lower: (N, 2) pixels of the lower edge.
        size: Side S of the square in pixels.

    Returns:
        (S, S) coverage in [0, 1].
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
