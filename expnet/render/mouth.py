"""The mouth interior: the portrait's own teeth where they are visible, otherwise painted teeth, cavity and tongue.

Upper teeth belong to the skull and lower teeth to the jaw; the lips only uncover them. One face unit is about 100 mm,
so the sizes below are anatomical. Everything is a smooth function of position, evaluated for each pixel inside the
anti-aliased contour of the inner lips.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expnet.face.landmarks import MESH_POINTS
from expnet.render.edge_blur import edge_blur
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.mouth_colours import MouthColours, estimate_mouth_colours
from expnet.render.mouth_paint import paint_pixels
from expnet.render.portrait_motion import PortraitMotion, Pose
from expnet.render.rasterize import PADDING

Array = NDArray[np.float64]

_UPPER, _LOWER = np.array(UPPER_ROWS[0]), np.array(LOWER_ROWS[0])
_CHIN = np.array((152, 148, 377, 176, 400))
# Depth of the incisors behind the seam of the lips.
_TEETH_BEHIND = 0.05
# Share of an opening that is due to the upper lip; the rest is due to the jaw.
_UPPER_LIP_SHARE = 0.15
# Weight of the lower lip, as opposed to the chin, in the estimate of the jaw's motion.
_LIP_SHARE = 0.75
# The lower lip uncovers this share of what the mouth opens beyond the second length, at most the third length of the
# lower teeth; in smaller openings their edge lies below the lip's, down to the last length.
_LOWER_SHARE, _LOWER_FROM, _LOWER_SHOWN, _LOWER_HIDDEN = 0.4, 0.03, 0.05, 0.02
# Half the width of a smooth step over the standard deviation of a blur that looks the same.
_BLURRED_WIDTH = 1.7
# Brightness between the rows of teeth, relative to the teeth, below which the dip counts as the line between them.
_DIP = 0.8


@dataclass(frozen=True)
class MouthFrame:
    """Anchors of the mouth in face space, for the portrait with its expression removed.

    Attributes:
        x: Middle of the mouth.
        seam: Height at which the closed lips meet.
        teeth_z: Depth of the incisors.
        jaw: Height of the portrait's jaw relative to closed lips; negative when the mouth is open.
    """

    x: float
    seam: float
    teeth_z: float
    jaw: float


class MouthInterior:
    """Paints the opening between the lips.

    Args:
        portrait: (H, W, 3) uint8.
        points: (478, 3) tracked points in pixels of the portrait.
        motion: Motion of the portrait.
    """

    def __init__(self, portrait: NDArray[np.uint8], points: NDArray, motion: PortraitMotion) -> None:
        pixels = np.asarray(points[:MESH_POINTS, :2], np.float64)
        self._source_upper, self._source_lower = pixels[_UPPER], pixels[_LOWER]
        self._motion = motion
        self._frame = _anchor(motion)
        self._gap = self._opening(np.zeros((MESH_POINTS, 3)))
        self._softness = _BLURRED_WIDTH * edge_blur(portrait, pixels) / motion.camera.scale
        self._split = _teeth_split(portrait, self._source_upper, self._source_lower)
        opening = portrait[_inside(self._source_upper, self._source_lower, portrait.shape[:2])].astype(np.float64)
        self._colours: MouthColours = estimate_mouth_colours(portrait, pixels, opening)

    def _opening(self, moved: Array) -> float:
        """Mean height of the opening around its middle, in face units."""
        vertices = self._motion.vertices[:, 1] + moved[:, 1]
        return float(np.maximum(vertices[_UPPER[3:8]] - vertices[_LOWER[3:8]], 0.0).mean())

    def paint(self, frame: NDArray[np.uint8], padded: NDArray, moved: Array, camera: Pose, vertices: Array) -> None:
        """Paint the mouth interior into a warped frame.

        Args:
            frame: (H, W, 3) uint8, changed in place.
            padded: The padded portrait that the sampler reads.
            moved: (468, 3) displacements of the face points.
            camera: Pose of the frame.
            vertices: (V, 3) projected vertices of the frame.
        """
        opening = self._opening(moved)
        jaw = _jaw(moved)
        anchors = self._frame
        paint_pixels(
            frame,
            padded,
            PADDING,
            np.ascontiguousarray(vertices[_UPPER, :2]),
            np.ascontiguousarray(vertices[_LOWER, :2]),
            self._source_upper,
            self._source_lower,
            np.concatenate([camera.rotation.ravel(), camera.offset, [camera.scale]]),
            np.concatenate(
                [self._motion.camera.rotation.ravel(), self._motion.camera.offset, [self._motion.camera.scale]]
            ),
            np.array(
                [
                    anchors.x,
                    anchors.seam,
                    anchors.teeth_z,
                    _lower_teeth_shown(opening),
                    jaw,
                    opening,
                    self._gap,
                    self._split,
                    self._softness,
                ]
            ),
            self._colours.table(),
        )


def _jaw(moved: Array) -> float:
    """Vertical displacement of the lower teeth.

    The skin of the chin slides over the bone, so its points underestimate the jaw's motion; the lower lip follows the
    jaw but is also pulled off the teeth by its own muscles. The estimate is a weighted mean of the two.
    """
    return float((1.0 - _LIP_SHARE) * moved[_CHIN, 1].mean() + _LIP_SHARE * moved[_LOWER[4:7], 1].mean())


def _lower_teeth_shown(opening: float) -> float:
    """Height of the lower teeth above the lower lip: negative, and so hidden, in a small opening."""
    return float(np.clip(_LOWER_SHARE * (opening - _LOWER_FROM), -_LOWER_HIDDEN, _LOWER_SHOWN))


def _anchor(motion: PortraitMotion) -> MouthFrame:
    neutral = motion.vertices - motion.first_displacement
    # The model's zero is the mean of speech, with parted lips; closing them from there is mostly a motion of the lower
    # lip and the jaw.
    gap = max(float((neutral[_UPPER[3:8], 1] - neutral[_LOWER[3:8], 1]).mean()), 0.0)
    return MouthFrame(
        x=float(neutral[[_UPPER[0], _UPPER[-1]], 0].mean()),
        seam=float(neutral[13, 1]) - _UPPER_LIP_SHARE * gap,
        teeth_z=float(neutral[[13, 14], 2].mean()) - _TEETH_BEHIND,
        jaw=_jaw(motion.first_displacement) - (1.0 - _UPPER_LIP_SHARE) * gap,
    )


def _inside(upper: Array, lower: Array, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels between two curves over the same columns, at least one pixel away from either."""
    columns, rows = np.arange(size[1]), np.arange(size[0])[:, None]
    order_up, order_low = np.argsort(upper[:, 0]), np.argsort(lower[:, 0])
    top = np.interp(columns, upper[order_up, 0], upper[order_up, 1], left=np.inf, right=np.inf)
    bottom = np.interp(columns, lower[order_low, 0], lower[order_low, 1], left=-np.inf, right=-np.inf)
    return (rows > top + 1.0) & (rows < bottom - 1.0)


def _teeth_split(portrait: NDArray[np.uint8], upper: Array, lower: Array) -> float:
    """Share of the portrait's opening, from the top, that belongs to the skull; the rest moves with the jaw."""
    middle = slice(3, 8)
    heights = np.linspace(0.15, 0.95, 17)
    places = upper[middle, None] * (1 - heights[:, None]) + lower[middle, None] * heights[:, None]  # (5, 17, 2)
    if (lower[middle, 1] - upper[middle, 1]).mean() < 4.0:
        return 1.0
    rows = np.clip(np.round(places[..., 1]).astype(int), 0, portrait.shape[0] - 1)
    columns = np.clip(np.round(places[..., 0]).astype(int), 0, portrait.shape[1] - 1)
    profile = portrait[rows, columns].mean(axis=(0, 2))
    dip = int(np.argmin(profile[4:])) + 4
    below = profile[dip:].max()
    if profile[dip] < _DIP * min(profile[:dip].max(), below):
        return float(heights[dip])
    return 1.0
