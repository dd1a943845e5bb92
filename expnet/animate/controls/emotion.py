"""An emotion on a speaking face: its features are added, and the lips go on speaking."""

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.motion_scale import change_of, scale_lips
from expnet.audio.alignment import FRAME_RATE
from expnet.face.emotions import Emotion
from expnet.face.facial_features import FeatureSpace

Array = NDArray[np.float64]

ONSET_SECONDS = 0.6
"""Faces take about this long to change from neutral to a full expression."""


def rise(frames: int, seconds: float, first: int = 0) -> Array:
    """Smooth rise from exactly 0 at frame 0 to 1: (T,), from frame ``first`` on."""
    share = np.clip((first + np.arange(frames)) / (seconds * FRAME_RATE), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def add_emotion(space: FeatureSpace, identity: Array, expression: Array, emotion: Emotion) -> Array:
    """Add an emotion's features to a speaking face; see `expnet.face.emotions`.

    The offsets keep the gap of the lips, as it is a feature of its own with no offset: only the emotion's articulation
    changes it, from closed, so that closures stay closures.

    Args:
        space: features of the face model.
        identity: (K,).
        expression: (T, E) of the speaking face.
        emotion: at its level.

    Returns:
        (T, E), the same as ``expression`` in the first frame but for the articulation.
    """
    spoken = scale_lips(space, identity, expression, emotion.articulation)
    if not emotion.features:
        return spoken
    onset = rise(len(expression), ONSET_SECONDS)
    return spoken + change_of(space, {name: offset * onset for name, offset in emotion.features.items()})
