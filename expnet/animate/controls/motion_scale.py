"""Stronger or weaker motion of the face and of the lips."""

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.face.facial_features import FEATURES, FeatureSpace, feature_space
from expnet.face.morphable import MorphableModel
from expnet.render.lips import CLOSED_GAP

Array = NDArray[np.float64]

SETTLED = 50
"""Frames of rest that an average so far starts with: two seconds."""
LIP_FEATURES = (
    "lip_gap",
    "mouth_width",
    "upper_lip",
    "lower_lip",
    "upper_lip_forward",
    "lower_lip_forward",
    "chin",
)
"""The features of `expnet.face.facial_features` that articulate; corners, brows and lids are expression."""


class RunningAverage:
    """Average of a motion so far, frame by frame, for one that is scaled while it goes on.

    It starts at no motion at all, which counts as much as `SETTLED` frames.
    """

    def __init__(self) -> None:
        self._sum: Array | float = 0.0
        self._count = SETTLED

    def __call__(self, change: NDArray) -> Array:
        """Return the average (T, E) after each of the next frames (T, E)."""
        total = np.cumsum(np.concatenate([[self._sum + np.zeros(change.shape[1])], change]), axis=0)[1:]
        count = self._count + np.arange(1, len(change) + 1)
        self._sum, self._count = total[-1], count[-1]
        return np.asarray(total / count[:, None])


def scale_expression(expression: Array, rest: Array, scale: float, average: Array | None = None) -> Array:
    """Scale the motion of a face about its average: (T, E), rest (E,) -> (T, E); the average may be given, (T, E)."""
    change = expression - rest
    if average is None:
        average = change.mean(axis=0)
    return rest + average + scale * (change - average)


def scale_lips(space: FeatureSpace, identity: Array, expression: Array, scale: float) -> Array:
    """Scale the articulation of the lips, and nothing else of the face.

    The gap of the lips is scaled from *closed*, so that lips that meet still meet, whatever the scale; the lips and
    the chin go along with it as in the faces that the model was built from. What the other features of the lips do
    beyond that is scaled about its average.

    Args:
        space: features of the face model.
        identity: (K,).
        expression: (T, E).
        scale: 1 leaves the lips as they are, 0 shuts them.

    Returns:
        (T, E).
    """
    if scale == 1.0:
        return expression
    values = space.measured(identity, expression)
    open_by = np.maximum(values["lip_gap"] - CLOSED_GAP / space.face_unit, 0.0)  # (T,)
    opened = (scale - 1.0) * open_by
    change = {"lip_gap": opened}
    for name in LIP_FEATURES[1:]:
        own = values[name] - space.with_gap[name] * values["lip_gap"]
        change[name] = space.with_gap[name] * opened + (scale - 1.0) * (own - own.mean())
    return expression + change_of(space, change)


def lips_shut(model: MorphableModel, fit: FaceCoefficients) -> NDArray[np.float32]:
    """The expression of a portrait with its lips shut, (1, E): what speech starts from.

    An open mouth in a portrait is a moment of it, not a trait as a smile is. A network that is shown one keeps about
    half of it for good (docs/models.md, "Open mouth"), and its lips would not meet again.
    """
    shut = scale_lips(feature_space(model), identity_of(fit), fit.expression[:1].astype(np.float64), 0.0)
    return shut.astype(np.float32)


def identity_of(fit: FaceCoefficients) -> Array:
    """The identity (K,) of a fitted portrait."""
    if fit.identity is None:
        raise ValueError("the portrait's coefficients lack the identity; make them with fit_clip")
    return np.atleast_2d(fit.identity)[0].astype(np.float64)


def change_of(space: FeatureSpace, features: dict[str, Array]) -> Array:
    """Most probable change of the expression (T, E) that changes these features by (T,), and no others."""
    columns = [FEATURES.index(name) for name in features]
    return np.stack(list(features.values()), axis=-1) @ space.inverse[:, columns].T
