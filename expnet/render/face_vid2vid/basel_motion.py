"""Moves the Basel coefficients of a portrait as coefficients of the built-in face model move.

The portrait keeps the coefficients that the regressor gave it, and every frame changes them:

    expression_t = expression_0 + M (beta_t - beta_0)          R_t = R'_t R'_0^T R_0
    (10 - z_t) / (10 - z_0) = (10 - z'_t) / (10 - z'_0)        x_t, y_t follow the face's origin in pixels

with the built-in model's coefficients beta, R', z'. M is fitted on clips with both (`expnet.face.basel_map`). At the
portrait's own coefficients nothing changes, so its first frame is the portrait.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.basel_map import basel_expression_change, basel_origin
from expnet.face.camera import DISTANCE, FOCAL
from expnet.face.facial_features import FEATURES, feature_space
from expnet.face.morphable import MorphableModel
from expnet.face.rotation import euler_to_matrix, matrix_to_euler
from expnet.formats.coefficient_files import BASEL_FACE_MODEL

Array = NDArray[np.float64]
_LIDS = FEATURES.index("lids_apart")


class BaselMotion:
    """Converts motions of one portrait.

    Args:
        fit: The portrait's coefficients under ``model``, one frame, with identity and crop.
        basel: The portrait's coefficients under the Basel face model, one frame, with the crop in the same pixels.
        model: The face model of the motions: the built-in one, or the Basel face model, whose motions stay as they are.

    Raises:
        InputError: The motions have another face model.
    """

    def __init__(self, fit: FaceCoefficients, basel: FaceCoefficients, model: MorphableModel) -> None:
        if fit.identity is None or fit.crop is None or basel.crop is None:
            raise InputError("the portrait's coefficients lack identity or crop; make them with fit_clip.")
        self._fit, self._basel = fit, basel
        self._space = feature_space(model)
        self._identity = np.atleast_2d(fit.identity)[0].astype(np.float64)
        self._crop = np.atleast_2d(fit.crop)[0]
        self._basel_crop = np.atleast_2d(basel.crop)[0]

    def convert(self, coefficients: FaceCoefficients, blink: NDArray | None = None) -> FaceCoefficients:
        """Return the Basel coefficients of a motion, T frames.

        Args:
            coefficients: A motion in the portrait's own camera.
            blink: (T,) additional closure of the lids, from 0 (none) to 1 (shut).
        """
        if coefficients.face_model == BASEL_FACE_MODEL:
            return coefficients
        if coefficients.face_model != self._fit.face_model:
            raise InputError(f"a motion of the face model {coefficients.face_model} cannot drive SadTalker's renderer.")
        expression = coefficients.expression.astype(np.float64)
        if blink is not None and np.any(blink):
            expression = self._close_lids(expression, np.asarray(blink, np.float64))
        change = basel_expression_change(expression - self._fit.expression[0])
        rotation, translation = self._pose(coefficients)
        return FaceCoefficients(
            expression=self._basel.expression[0] + change,
            rotation=rotation,
            translation=translation,
            crop=self._basel_crop,
            fps=coefficients.fps,
            face_model=BASEL_FACE_MODEL,
        )

    def _close_lids(self, expression: Array, blink: Array) -> Array:
        apart = self._space.measured(self._identity, expression)["lids_apart"]  # (T,)
        return expression - np.outer(blink * np.maximum(apart, 0.0), self._space.inverse[:, _LIDS])

    def _pose(self, moved: FaceCoefficients) -> tuple[Array, Array]:
        """Return rotation (T, 3) and translation (T, 3)."""
        fit, basel = self._fit, self._basel
        own, first, portrait = (_matrices(part.rotation) for part in (moved, fit[0], basel[0]))
        rotation = own @ first[0].T @ portrait[0]
        nearer = (DISTANCE - moved.translation[:, 2]) / (DISTANCE - fit.translation[0, 2])  # (T,)
        depth = DISTANCE - (DISTANCE - basel.translation[0, 2].astype(np.float64)) * nearer
        shift = _origin(moved, own, self._crop) - _origin(fit[0], first, self._crop)  # (T, 2) pixels
        ours = self._basel_crop[2] * FOCAL / (DISTANCE - np.stack([basel.translation[0, 2].astype(np.float64), *depth]))
        start = basel.translation[0, :2] * ours[0]
        sideways = (start + shift * [1.0, -1.0]) / ours[1:, None]
        return matrix_to_euler(torch.from_numpy(rotation)).numpy(), np.c_[sideways, depth]


def _origin(coefficients: FaceCoefficients, rotation: Array, crop: Array) -> Array:
    """Return where the origin of the Basel face lies in the image (T, 2), in pixels relative to the crop's centre."""
    scale = crop[2] * FOCAL / (DISTANCE - coefficients.translation[:, 2].astype(np.float64))
    place = coefficients.translation[:, :2] + (rotation @ basel_origin())[:, :2]
    return place * scale[:, None] * [1.0, -1.0]


def _matrices(rotation: NDArray) -> Array:
    return euler_to_matrix(torch.from_numpy(np.asarray(rotation, np.float64))).numpy()
