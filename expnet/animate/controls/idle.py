"""A portrait that waits: closed lips, breath, a head and a face that are never quite still."""

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.emotion import rise
from expnet.animate.controls.motion_scale import change_of, lips_shut
from expnet.audio.alignment import FRAME_RATE
from expnet.coefficients import FaceCoefficients
from expnet.face.facial_features import feature_space
from expnet.face.morphable import MorphableModel
from expnet.face.smooth_noise import wander

Array = NDArray[np.float64]

BREATHS_PER_MINUTE = 14.0
"""Adults at rest breathe 12 to 18 times a minute."""
LONGEST_SECONDS = 3600.0
# What a breath does to the head: radians of pitch (the nose rises) and face units upward (2 mm).
_BREATH_PITCH, _BREATH_RISE = -0.008, 0.02
# Standard deviations of postures that change over seconds, and of small motion within one: pitch, yaw, roll, x, y, z.
_POSTURE = np.array([0.014, 0.026, 0.014, 0.015, 0.005, 0.03])
_SMALL = np.array([0.004, 0.006, 0.003, 0.003, 0.002, 0.005])
_POSTURE_SECONDS, _SMALL_SECONDS = 1.6, 0.35
# Slow changes of the upper face and of the corners of the mouth; the lips have none, so they stay shut.
_FACE = {"inner_brows": 0.006, "outer_brows": 0.005, "lids_apart": 0.004, "corners_up": 0.005}
_FACE_SECONDS = 0.9
_CLOSING_SECONDS = 0.6


def idle_expression(model: MorphableModel, fit: FaceCoefficients, frames: int, *, seed: int) -> Array:
    """Shut the portrait's lips, and let the rest of the face live.

    Args:
        model: the face model.
        fit: the portrait's coefficients, one frame.
        frames: T.
        seed: same seed, same motion.

    Returns:
        (T, E); the first frame is the portrait's own expression.
    """
    random = np.random.default_rng([seed, 0x1D7E])
    space, rest = feature_space(model), fit.expression[0].astype(np.float64)
    shut = lips_shut(model, fit) - rest  # (1, E)
    noise = wander(random, frames, _FACE_SECONDS, len(_FACE))  # (T, 4)
    change = change_of(space, {name: size * noise[:, i] for i, (name, size) in enumerate(_FACE.items())})
    return rest + rise(frames, _CLOSING_SECONDS)[:, None] * (shut + change)


def idle_head(frames: int, *, seed: int) -> Array:
    """Breath, changes of posture and small motion: (T, 6) relative to the portrait's pose, 0 in the first frame."""
    random = np.random.default_rng([seed, 0x4EAD])
    pose = wander(random, frames, _POSTURE_SECONDS, 6) * _POSTURE + wander(random, frames, _SMALL_SECONDS, 6) * _SMALL
    # A breath comes a little sooner or later than the last: its phase wanders.
    seconds = np.arange(frames) / FRAME_RATE
    phase = 2.0 * np.pi * BREATHS_PER_MINUTE / 60.0 * seconds + 0.4 * wander(random, frames, 2.0)[:, 0]
    breath = 0.5 - 0.5 * np.cos(phase)
    pose[:, 0] += _BREATH_PITCH * breath
    pose[:, 4] += _BREATH_RISE * breath
    return (pose - pose[:1]) * rise(frames, _CLOSING_SECONDS)[:, None]
