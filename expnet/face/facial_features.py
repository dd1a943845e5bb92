"""Maps facial features (lip gap, mouth corners, brow height) to expression coefficients of a linear face model.

A feature is a linear function of the 68 landmarks, in units of the mean face's outer-eye-corner distance. Of all
expressions with the wanted features, the one with the smallest norm is taken. The coefficients are whitened (prior
N(0, I)), so it is the most probable one: cheeks and chin follow the lips as in the faces that the model was built from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from expnet.face.morphable import MorphableModel

Array = NDArray[np.float64]

_X, _Y, _Z = 0, 1, 2
_RIGHT_LIDS = (((37, 38), 0.5), ((40, 41), -0.5))
_LEFT_LIDS = (((43, 44), 0.5), ((46, 47), -0.5))

# Terms of each feature: landmarks (iBUG numbers), axis, and weight; x to the image's right, y up, z toward the viewer.
# The lip gap must come first, because ``with_gap`` is computed from the first row.
_FEATURES: dict[str, tuple[tuple[tuple[int, ...], int, float], ...]] = {
    "lip_gap": (((62,), _Y, 1.0), ((66,), _Y, -1.0)),
    "mouth_width": (((54,), _X, 1.0), ((48,), _X, -1.0)),
    "upper_lip": (((50, 51, 52), _Y, 1 / 3),),
    "lower_lip": (((56, 57, 58), _Y, 1 / 3),),
    "upper_lip_forward": (((50, 51, 52), _Z, 1 / 3),),
    "lower_lip_forward": (((56, 57, 58), _Z, 1 / 3),),
    "corners_up": (((48, 54), _Y, 0.5),),
    "corners_uneven": (((48,), _Y, 1.0), ((54,), _Y, -1.0)),
    "chin": (((7, 8, 9), _Y, 1 / 3),),
    "inner_brows": (((20, 21, 22, 23), _Y, 0.25),),
    "outer_brows": (((17, 18, 25, 26), _Y, 0.25),),
    "brows_uneven": (((18, 19, 20), _Y, 1 / 3), ((23, 24, 25), _Y, -1 / 3)),
    "lids_apart": tuple((points, _Y, 0.5 * weight) for points, weight in (*_RIGHT_LIDS, *_LEFT_LIDS)),
    "lids_uneven": (
        *((points, _Y, weight) for points, weight in _RIGHT_LIDS),
        *((points, _Y, -weight) for points, weight in _LEFT_LIDS),
    ),
}

FEATURES = tuple(_FEATURES)


@dataclass(frozen=True)
class FeatureSpace:
    """The features of one face model.

    Attributes:
        mean: (F,) features of the mean face.
        identity_response: (F, K) change of the features per unit of each identity coefficient.
        expression_response: (F, E) change of the features per unit of each expression coefficient.
        inverse: (E, F) most probable expression per unit of each feature.
        with_gap: Expected change of each feature when ``lip_gap`` changes by 1 (covariance over variance under the
            prior), by name.
        face_unit: Length of the feature unit in face units.
    """

    mean: Array
    identity_response: Array
    expression_response: Array
    inverse: Array
    with_gap: dict[str, float]
    face_unit: float

    def at_rest(self, identity: Array) -> dict[str, float]:
        """Return the features of a person (K,) with zero expression."""
        return dict(zip(FEATURES, self.mean + self.identity_response @ identity, strict=True))

    def measured(self, identity: Array, expression: Array) -> dict[str, Array]:
        """Return the features (T,) of a person (K,) in each frame of an expression (T, E)."""
        values = self.mean + self.identity_response @ identity + expression @ self.expression_response.T  # (T, F)
        return dict(zip(FEATURES, values.T, strict=True))

    def expression_for(self, identity: Array, features: Mapping[str, Array]) -> Array:
        """Return the most probable expression (T, E) with given features; the others keep the person's resting value.

        Args:
            identity: (K,).
            features: Values (T,) by feature name.
        """
        rest = self.at_rest(identity)
        length = len(next(iter(features.values())))
        change = np.zeros((length, len(FEATURES)))
        for name, values in features.items():
            change[:, FEATURES.index(name)] = values - rest[name]
        return change @ self.inverse.T

    def without_features(self, expression: Array) -> Array:
        """Remove from expressions (..., E) the part that changes the features."""
        return expression - (expression @ self.expression_response.T) @ self.inverse.T


@lru_cache(maxsize=4)
def feature_space(model: MorphableModel) -> FeatureSpace:
    """Compute the feature space of a face model, once for each."""
    rows = model.landmark_indices.numpy()
    mean = model.mean.numpy()[rows].astype(np.float64)  # (68, 3)
    unit = float(np.linalg.norm(mean[45] - mean[36]))
    functional = np.zeros((len(FEATURES), 68, 3))
    for index, terms in enumerate(_FEATURES.values()):
        for points, axis, weight in terms:
            functional[index, list(points), axis] += weight / unit
    response = np.einsum("flc,lce->fe", functional, model.expression_basis.numpy()[rows].astype(np.float64))
    gram = response @ response.T
    return FeatureSpace(
        mean=np.einsum("flc,lc->f", functional, mean),
        identity_response=np.einsum("flc,lck->fk", functional, model.identity_basis.numpy()[rows].astype(np.float64)),
        expression_response=response,
        inverse=response.T @ np.linalg.inv(gram),
        with_gap=dict(zip(FEATURES, (gram[0] / gram[0, 0]).tolist(), strict=True)),
        face_unit=unit,
    )


def close_lids(model: MorphableModel, identity: NDArray, expression: NDArray, closure: NDArray) -> Array:
    """Return expressions (T, E) whose lids are shut further, by their most probable change.

    Args:
        model: The face model.
        identity: (K,) or (1, K).
        expression: (T, E).
        closure: (T,) share of the lids' distance that is taken away, from 0 (none) to 1 (all).
    """
    space = feature_space(model)
    expression = expression.astype(np.float64)
    apart = space.measured(np.atleast_2d(identity)[0].astype(np.float64), expression)["lids_apart"]  # (T,)
    column = space.inverse[:, FEATURES.index("lids_apart")]
    return expression - np.outer(np.asarray(closure, np.float64) * np.maximum(apart, 0.0), column)
