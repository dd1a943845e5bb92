"""Adds an emotion to a speaking face; the lips continue to speak."""

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.fade import fade_in
from expnet.animate.controls.motion_scale import expression_change, scale_lips
from expnet.face.emotions import Emotion
from expnet.face.facial_features import FeatureSpace

Array = NDArray[np.float64]

ONSET_SECONDS = 0.6
"""Faces take about this long to change from neutral to a full expression."""


def add_emotion(space: FeatureSpace, identity: Array, expression: Array, emotion: Emotion) -> Array:
    """Add the features of an emotion to a speaking face; see `expnet.face.emotions`.

    The offsets do not change the lip gap, which is a feature of its own without an offset. Only the emotion's
    articulation scales it, starting from closed lips, so that closures stay closures.

    Args:
        space: Features of the face model.
        identity: Identity coefficients (K,).
        expression: Expression (T, E) of the speaking face.
        emotion: Emotion at its level.

    Returns:
        (T, E). The first frame differs from ``expression`` only in articulation.
    """
    spoken = scale_lips(space, identity, expression, emotion.articulation)
    if not emotion.features:
        return spoken
    onset = fade_in(len(expression), ONSET_SECONDS)
    return spoken + expression_change(space, {name: offset * onset for name, offset in emotion.features.items()})
