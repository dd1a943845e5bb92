"""Basel coefficients of a portrait from motions of the built-in face model, or from Basel motions of another camera.

`expnet.render.converted_motion` has the formulas. The portrait keeps the coefficients that the regressor gave it, and
every frame changes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.facial_features import close_lids
from expnet.face.morphable import MorphableModel
from expnet.formats.coefficient_files import BASEL_FACE_MODEL
from expnet.render.converted_motion import ConvertedMotion, to_basel


class BaselMotion:
    """Converts motions of one portrait.

    Args:
        fit: The portrait's coefficients under ``model``, one frame, with identity and crop.
        basel: The portrait's coefficients under the Basel face model, one frame, with the crop in the same pixels.
        model: The face model of the motions: the built-in one, or the Basel face model.

    Raises:
        InputError: The motions have another face model.
    """

    def __init__(self, fit: FaceCoefficients, basel: FaceCoefficients, model: MorphableModel) -> None:
        if fit.identity is None or fit.crop is None or basel.crop is None:
            raise InputError("the portrait's coefficients lack identity or crop; make them with fit_clip.")
        self._fit = fit
        self._is_basel = fit.face_model == BASEL_FACE_MODEL
        if self._is_basel:
            self._motion = ConvertedMotion(fit, basel, lambda change: np.asarray(change, np.float64), np.zeros(3))
        else:
            self._motion = to_basel(fit, basel)
        self._model, self._identity = model, fit.identity

    def convert(self, coefficients: FaceCoefficients, blink: NDArray | None = None) -> FaceCoefficients:
        """Return the Basel coefficients of a motion, T frames.

        Args:
            coefficients: A motion in the portrait's own camera. Basel coefficients stay as they are where the portrait
                was not described by them.
            blink: (T,) additional closure of the lids, from 0 (none) to 1 (shut); not seen in Basel coefficients.
        """
        if coefficients.face_model == BASEL_FACE_MODEL:
            return self._motion.convert(coefficients) if self._is_basel else coefficients
        if coefficients.face_model != self._fit.face_model:
            raise InputError(f"a motion of the face model {coefficients.face_model} cannot drive SadTalker's renderer.")
        expression = coefficients.expression.astype(np.float64)
        if blink is not None and np.any(blink):
            expression = close_lids(self._model, self._identity, expression, blink)
        return self._motion.convert(coefficients, expression)
