"""Turned heads: the far side has its true depth, the near side stretches no further than it is allowed to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from expnet.render.portrait_motion import PortraitMotion, poses

RIGHT_EDGE, LEFT_EDGE = (234, 93, 132), (454, 323, 361)
"""Points of the face oval in front of the subject's right and left ear."""


def turned(portrait: Any, motion: PortraitMotion, yaw: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in pixels of the points as rendered, with flattened sides, and in truth (the model's own)."""
    coefficients = portrait.driven(rotation=[[0.0, yaw, 0.0]])
    camera = poses(coefficients.rotation, coefficients.translation, motion.crop)[0]
    truth = camera.project(portrait.model.mean.numpy().astype(np.float64))[:, :2]
    flat = camera.project(motion.vertices)[:, :2]
    return camera.project(motion.vertices + motion.recede(camera))[:, :2], flat, truth


@pytest.mark.parametrize("yaw", [-0.6, -0.4, 0.4, 0.6])
def test_the_side_that_turns_away_has_its_true_depth_and_the_other_stays_flat(portrait: Any, yaw: float) -> None:
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    drawn, flat, truth = turned(portrait, motion, yaw)
    wrong = np.abs(flat - truth)[:, 0]
    sides = sorted((list(RIGHT_EDGE), list(LEFT_EDGE)), key=lambda side: truth[side, 0].mean())
    # The side with the less of the face between it and the nose is the one that turns away.
    widths = [abs(truth[side, 0].mean() - truth[4, 0]) for side in sides]
    away, near = (sides[k] for k in np.argsort(widths))
    assert wrong[away].min() > 2.0  # the flattening would be seen
    assert np.abs(drawn - truth)[away, 0].max() < 0.15 * wrong[away].max()
    assert np.array_equal(drawn[near], flat[near])


def test_at_rest_and_in_the_middle_of_the_face_nothing_recedes(portrait: Any) -> None:
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    drawn, flat, _ = turned(portrait, motion, 0.0)
    assert np.abs(drawn - flat).max() < 1e-9
    drawn, flat, _ = turned(portrait, motion, 0.5)
    middle = [1, 4, 6, 9, 13, 14, 152, 10]
    assert np.abs(drawn - flat)[middle].max() < 1e-6


def test_the_head_turns_without_a_jump(portrait: Any) -> None:
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    places = np.stack([turned(portrait, motion, yaw)[0] for yaw in np.linspace(-0.05, 0.05, 21)])
    assert np.abs(np.diff(places, axis=0)).max() < 0.6  # a twentieth of the whole path of the ears and the nose
