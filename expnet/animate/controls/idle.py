"""Idle motion: closed lips, breathing, and a head and face that are never quite still."""

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.fade import fade_in
from expnet.animate.controls.motion_scale import close_lips, expression_change
from expnet.audio.alignment import FRAME_RATE
from expnet.coefficients import FaceCoefficients
from expnet.face.facial_features import feature_space
from expnet.face.morphable import MorphableModel
from expnet.face.smooth_noise import draw_smooth_noise

Array = NDArray[np.float64]

BREATHS_PER_MINUTE = 14.0
"""Adults at rest breathe 12 to 18 times a minute."""
LONGEST_SECONDS = 3600.0
# Effect of a breath on the head: radians of pitch (the nose rises) and face units upward (2 mm).
_BREATH_PITCH, _BREATH_RISE = -0.008, 0.02
# Standard deviations of postures that change over seconds, and of small motion within one: pitch, yaw, roll, x, y, z.
_POSTURE = np.array([0.014, 0.026, 0.014, 0.015, 0.005, 0.03])
_SMALL = np.array([0.004, 0.006, 0.003, 0.003, 0.002, 0.005])
_POSTURE_SECONDS, _SMALL_SECONDS = 1.6, 0.35
# Slow changes of the upper face and of the mouth corners. The lips do not change, so they stay closed.
_FACE = {"inner_brows": 0.006, "outer_brows": 0.005, "lids_apart": 0.004, "corners_up": 0.005}
_FACE_SECONDS = 0.9
_CLOSING_SECONDS = 0.6


def idle_expression(model: MorphableModel, fit: FaceCoefficients, frames: int, *, seed: int) -> Array:
    """Close the portrait's lips, and let the rest of the face move slightly.

    Args:
        model: Face model.
        fit: Coefficients of the portrait, one frame.
        frames: Number of frames T.
        seed: The same seed gives the same motion.

    Returns:
        (T, E). The first frame is the portrait's own expression.
    """
    random = np.random.default_rng([seed, 0x1D7E])
    space, rest = feature_space(model), fit.expression[0].astype(np.float64)
    closing = close_lips(model, fit) - rest  # (1, E)
    noise = draw_smooth_noise(random, frames, _FACE_SECONDS, len(_FACE))  # (T, 4)
    change = expression_change(space, {name: size * noise[:, i] for i, (name, size) in enumerate(_FACE.items())})
    return rest + fade_in(frames, _CLOSING_SECONDS)[:, None] * (closing + change)


def idle_head(frames: int, *, seed: int) -> Array:
    """Return breathing, changes of posture and small motion (T, 6), relative to the portrait's pose; frame 0 is 0."""
    random = np.random.default_rng([seed, 0x4EAD])
    pose = (
        draw_smooth_noise(random, frames, _POSTURE_SECONDS, 6) * _POSTURE
        + draw_smooth_noise(random, frames, _SMALL_SECONDS, 6) * _SMALL
    )
    # The phase of breathing varies slowly, so that the intervals between breaths differ.
    seconds = np.arange(frames) / FRAME_RATE
    phase = 2.0 * np.pi * BREATHS_PER_MINUTE / 60.0 * seconds + 0.4 * draw_smooth_noise(random, frames, 2.0)[:, 0]
    breath = 0.5 - 0.5 * np.cos(phase)
    pose[:, 0] += _BREATH_PITCH * breath
    pose[:, 4] += _BREATH_RISE * breath
    return (pose - pose[:1]) * fade_in(frames, _CLOSING_SECONDS)[:, None]
