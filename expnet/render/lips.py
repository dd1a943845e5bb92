"""Lip contact: the portrait's lips close when the model's lips close.

The tracked mouth and the model's fit of it differ by a millimetre or two. Simply adding the model's motion would leave
the lips open, or push one through the other. The remaining gap is therefore *scaled* while the mouth closes (to zero
when the model's gap is zero), and the model's change is *added* while it opens.
"""

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


class LipContact:
    """Corrects displacements so that the gap between the inner lips follows the model's gap.

    Args:
        vertices: (468, 3) the portrait's points in face space.
        fitted: (468, 3) the face model's fit of them.
    """

    def __init__(self, vertices: Array, fitted: Array) -> None:
        self._upper, self._lower = np.array(UPPER_ROWS), np.array(LOWER_ROWS)
        self._gap = self._between(vertices)
        self._model_gap = self._between(fitted)

    def _between(self, vertices: Array) -> Array:
        return vertices[..., self._upper[0, 1:-1], 1] - vertices[..., self._lower[0, 1:-1], 1]

    def correct(self, moved: Array) -> None:
        """Correct displacements (T, 468, 3) in place."""
        added = self._between(moved)  # change of the model's gap, (T, 9)
        remaining = np.maximum(self._model_gap + added - CLOSED_GAP, 0.0)
        share = np.clip(remaining / np.maximum(self._model_gap - CLOSED_GAP, 1e-3), 0.0, 1.0)
        wanted = np.where(added < 0.0, self._gap * share, self._gap + added)
        wrong = np.zeros((len(moved), self._upper.shape[1]))
        wrong[:, 1:-1] = 0.5 * (wanted - (self._gap + added))
        for row, follow in enumerate(_FOLLOW):
            moved[:, self._upper[row], 1] += follow * wrong
            moved[:, self._lower[row], 1] -= follow * wrong
