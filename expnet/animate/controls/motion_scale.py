"""Amplifies or attenuates the motion of the face and of the lips."""

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.face.facial_features import FEATURES, FeatureSpace, feature_space
from expnet.face.morphable import MorphableModel
from expnet.render.lips import CLOSED_GAP

Array = NDArray[np.float64]

SETTLED = 50
"""Frames at rest that a running average starts with: two seconds."""
LIP_FEATURES = (
    "lip_gap",
    "mouth_width",
    "upper_lip",
    "lower_lip",
    "upper_lip_forward",
    "lower_lip_forward",
    "chin",
)
"""Features of `expnet.face.facial_features` that articulate; mouth corners, brows and eyelids express emotion."""


class RunningAverage:
    """Average of a motion up to each frame, for a motion that is scaled while it is being computed.

    It starts at no motion, which counts as much as `SETTLED` frames.
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
    """Scale the motion of a face about its average.

    Args:
        expression: Expression (T, E).
        rest: Expression (E,) that motion is measured from.
        scale: Factor; 1 leaves the motion as it is.
        average: Average motion (T, E) up to each frame; by default that of the whole clip.

    Returns:
        (T, E).
    """
    change = expression - rest
    if average is None:
        average = change.mean(axis=0)
    return rest + average + scale * (change - average)


def scale_lips(space: FeatureSpace, identity: Array, expression: Array, scale: float) -> Array:
    """Scale the articulation of the lips, and nothing else of the face.

    The lip gap is scaled from *closed*, so that lips that meet still meet at any scale. The lips and the chin follow
    the gap as they do in the faces that the model was built from; what other lip features do beyond that is scaled
    about its average.

    Args:
        space: Features of the face model.
        identity: Identity coefficients (K,).
        expression: Expression (T, E).
        scale: 1 leaves the lips as they are, 0 closes them.

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
    return expression + expression_change(space, change)


def close_lips(model: MorphableModel, fit: FaceCoefficients) -> NDArray[np.float32]:
    """Return the expression (1, E) of a portrait with its lips closed, from which speech starts.

    An open mouth in a portrait is a momentary state, not a trait as a smile is. A network that sees one keeps about
    half of it permanently (docs/results/first_frame.md), and the lips would never meet.
    """
    closed = scale_lips(feature_space(model), identity_of(fit), fit.expression[:1].astype(np.float64), 0.0)
    return closed.astype(np.float32)


def identity_of(fit: FaceCoefficients) -> Array:
    """Return the identity (K,) of a fitted portrait."""
    if fit.identity is None:
        raise ValueError("the portrait's coefficients lack the identity; make them with fit_clip")
    return np.atleast_2d(fit.identity)[0].astype(np.float64)


def expression_change(space: FeatureSpace, features: dict[str, Array]) -> Array:
    """Return the most probable change of the expression (T, E) that changes these features by (T,), and no others."""
    columns = [FEATURES.index(name) for name in features]
    return np.stack(list(features.values()), axis=-1) @ space.inverse[:, columns].T
