"""Coefficients as the trained renderer reads them: where and how the face stands in a square of the image.

A row holds the expression (E), the rotation (3, radians) and the place of the face (3): the origin of face space x, y
in the square, from -1 to 1 and y downwards, and the logarithm of a face unit (about 10 cm) as a share of the square's
half side. Crop, translation and depth of the coefficients matter through these alone, so the rows of a face in another
square, or in a rotated image, follow exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.camera import DISTANCE, FOCAL
from expnet.face.rotation import euler_to_matrix, matrix_to_euler
from expnet.models.video_renderer import POSE
from expnet.render.face_vid2vid.face_crop import FaceCrop

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """A change of a square: position p -> scale R(angle) p + shift, in the square's units, where y points down.

    Attributes:
        angle: Radians, clockwise.
        scale: Factor.
        shift: (x, y).
    """

    angle: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> Array:
        """The affine matrix (2, 3)."""
        cosine, sine = self.scale * np.cos(self.angle), self.scale * np.sin(self.angle)
        return np.array([[cosine, -sine, self.shift[0]], [sine, cosine, self.shift[1]]])

    def after(self, first: Similarity) -> Similarity:
        """Return the similarity that applies ``first`` and then this one."""
        shift = self.matrix @ np.array([*first.shift, 1.0])
        return Similarity(self.angle + first.angle, self.scale * first.scale, (float(shift[0]), float(shift[1])))


def motion_rows(coefficients: FaceCoefficients, square: FaceCrop) -> NDArray[np.float32]:
    """Return the rows (T, E + 6) of coefficients for a square of their image.

    Raises:
        InputError: The coefficients have no crop.
    """
    if coefficients.crop is None:
        raise InputError("the coefficients lack their crop; make them with fit_clip.")
    centre_x, centre_y, side = np.atleast_2d(coefficients.crop).astype(np.float64).T  # (T,) or (1,) each
    translation = coefficients.translation.astype(np.float64)
    unit = side * FOCAL / (DISTANCE - translation[:, 2])  # (T,) pixels
    half = square.side / 2
    x = (centre_x + unit * translation[:, 0] - square.left) / half - 1
    y = (centre_y - unit * translation[:, 1] - square.top) / half - 1
    return np.c_[coefficients.expression, coefficients.rotation, x, y, np.log(unit / half)].astype(np.float32)


def changed_rows(rows: NDArray[np.float32], change: Similarity) -> NDArray[np.float32]:
    """Return rows (..., E + 6) of the same faces after a similarity of the square."""
    changed = rows.astype(np.float64)
    rotation, place = changed[..., -POSE:-3], changed[..., -3:]
    turn = euler_to_matrix(torch.tensor([0.0, 0.0, -change.angle], dtype=torch.float64))  # face space has y upwards
    rotation[...] = matrix_to_euler(turn @ euler_to_matrix(torch.from_numpy(rotation.copy()))).numpy()
    matrix = change.matrix
    place[..., :2] = place[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    place[..., 2] += np.log(change.scale)
    return changed.astype(np.float32)


def windows_of(rows: NDArray[np.float32], frames: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the windows (N, E + 6, W) around frames of rows (T, E + 6); the ends are repeated."""
    places = np.clip(frames[:, None] + offsets, 0, len(rows) - 1)  # (N, W)
    return np.ascontiguousarray(rows[places].transpose(0, 2, 1))


def still_windows(rows: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Return the windows (N, E + 6, W) of rows (N, E + 6) that do not move."""
    return np.repeat(rows[:, :, None], length, axis=2)
