"""Lip contact: the portrait's lips close when the model's lips close.

The tracked mouth and the model's fit of it differ by a millimetre or two. Simply adding the model's motion would leave
the lips open, or push one through the other. The remaining gap is therefore *scaled* while the mouth closes (to zero
when the model's gap is zero), and the model's change is *added* while it opens.

The tracked contour misses the visible edge of the lips by a pixel or so. A strip of teeth or of the dark mouth that it
leaves to the lips would stay visible where they touch. As the mouth closes, the edges of the lips are therefore
textured from a little farther outside, where there is certainly lip.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Rows of lip points from the seam outward, from mouth corner to mouth corner (subject's right to left), MediaPipe
# indices.
UPPER_ROWS = (
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292),
    (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306),
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
)
LOWER_ROWS = (
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
    (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292),
    (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306),
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
)
# How far each row follows a correction of the seam: the red of the lip keeps its height and the skin deforms.
_FOLLOW = (1.0, 0.8, 0.55, 0.25)

CLOSED_GAP = 0.004
"""Gap of the model below which lips count as closed, in face units (0.4 mm): the tracker's noise on closed lips."""

_TUCK = 0.6
"""How far the texture of a closed lip's edge is taken from the edge toward the next row of lip points."""
_OPEN = 0.02
"""Gap of the portrait's lips, in face units, from which on there is something to hide between them."""
_TOUCH = 0.02
"""Gap in face units below which the shadow between lips that close comes up."""

_MIDDLE = 4
"""Column of the middle of the mouth."""


class GapScale(Protocol):
    """A correction of the gap between the lips, such as `expnet.render.lip_calibration.LipCalibration`."""

    def scale(self, gap: Array, own: float) -> Array:
        """Factor of the gaps (T,) in the middle of the mouth, 1 at the portrait's own gap."""


class LipContact:
    """Corrects displacements so that the gap between the inner lips follows the model's gap.

    Args:
        vertices: (468, 3) the portrait's points in face space.
        fitted: (468, 3) the face model's fit of them.
        calibration: Scales the gaps so that they are seen as wide as they are; None for no change.
    """

    def __init__(self, vertices: Array, fitted: Array, calibration: GapScale | None = None) -> None:
        self._calibration = calibration
        self._upper, self._lower = np.array(UPPER_ROWS), np.array(LOWER_ROWS)
        self._gap = self._between(vertices)
        self._model_gap = self._between(fitted)

    def _between(self, vertices: Array) -> Array:
        return vertices[..., self._upper[0, 1:-1], 1] - vertices[..., self._lower[0, 1:-1], 1]

    @property
    def model_gap(self) -> float:
        """Gap of the model's fit of the portrait in the middle of the mouth, in face units."""
        return float(self._model_gap[_MIDDLE])

    def correct(self, moved: Array) -> None:
        """Correct displacements (T, 468, 3) in place."""
        added = self._between(moved)  # change of the model's gap, (T, 9)
        remaining = np.maximum(self._model_gap + added - CLOSED_GAP, 0.0)
        share = np.clip(remaining / np.maximum(self._model_gap - CLOSED_GAP, 1e-3), 0.0, 1.0)
        wanted = np.where(added < 0.0, self._gap * share, self._gap + added)
        if self._calibration is not None:
            wanted *= self._calibration.scale(wanted[:, _MIDDLE], float(self._gap[_MIDDLE]))[:, None]
        wrong = np.zeros((len(moved), self._upper.shape[1]))
        wrong[:, 1:-1] = 0.5 * (wanted - (self._gap + added))
        for row, follow in enumerate(_FOLLOW):
            moved[:, self._upper[row], 1] += follow * wrong
            moved[:, self._lower[row], 1] -= follow * wrong

    def tuck(self, sources: Array, moved: Array) -> None:
        """Move the places that texture the lips' edges outward, in proportion to how far the lips have closed.

        Args:
            sources: (V, 2) places in the portrait, changed in place; the face points come first.
            moved: (468, 3) corrected displacements.
        """
        closed = self._closed(moved)[:, None]
        for rows in (self._upper, self._lower):
            edge, lip = sources[rows[0, 1:-1]], sources[rows[1, 1:-1]]
            sources[rows[0, 1:-1]] = edge + _TUCK * closed * (lip - edge)

    def contact(self, moved: Array) -> Array:
        """Strength of the shadow between lips that have closed since the portrait, (11,) from corner to corner.

        It is 0 where the portrait's own lips touch: their shadow is in the portrait.

        Args:
            moved: (468, 3) corrected displacements.
        """
        near = np.clip(1.0 - (self._gap + self._between(moved)) / _TOUCH, 0.0, 1.0)
        strength = np.zeros(self._upper.shape[1])
        strength[1:-1] = near * self._closed(moved)
        return strength

    def _closed(self, moved: Array) -> Array:
        """Share of the portrait's gap that has closed, (9,)."""
        return np.clip(-self._between(moved) / np.maximum(self._gap, _OPEN), 0.0, 1.0)
