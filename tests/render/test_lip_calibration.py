"""Gaps that are seen as wide as they are asked for: the curve, its limits, and the renderer that follows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from expnet.face.tracker import LandmarkTrack
from expnet.render.lip_calibration import (
    GAPS,
    WIDTHS,
    LipCalibration,
    calibrate_lips,
    fit_calibration,
    openings,
    trust_in,
)
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import Portrait
from expnet.render.portrait_motion import PortraitMotion

MEASURED = np.array(GAPS * len(WIDTHS))
MIDDLE = 4


def middle_gap(motion: PortraitMotion, moved: np.ndarray) -> np.ndarray:
    upper, lower = UPPER_ROWS[0][1 + MIDDLE], LOWER_ROWS[0][1 + MIDDLE]
    return (motion.vertices + moved)[..., upper, 1] - (motion.vertices + moved)[..., lower, 1]


def test_without_a_bias_nothing_changes() -> None:
    curve = fit_calibration(MEASURED, MEASURED)
    assert np.abs(curve.drawn - curve.wanted).max() < 1e-12
    assert curve.scale(np.array([0.0, 0.03, 0.2, 0.5]), 0.1).tolist() == [1.0, 1.0, 1.0, 1.0]


def test_a_bias_is_undone_and_drawn_gaps_are_in_order() -> None:
    curve = fit_calibration(MEASURED, 0.9 * MEASURED + 0.01)
    assert (np.diff(curve.drawn) >= 0).all()
    seen = 0.9 * curve.drawn + 0.01
    inside = (curve.wanted > 0.02) & (curve.wanted < 0.2)
    assert np.abs(seen - curve.wanted)[inside].max() < 0.4 * np.abs(0.01 - 0.1 * curve.wanted)[inside].max()
    # Closed lips that are seen 8 thousandths open: what shall be seen less open is closed.
    assert curve.drawn[0] == 0.0
    assert curve.drawn[curve.wanted < 0.005].max() == 0.0


def test_a_correction_is_bounded() -> None:
    for seen in (MEASURED + 0.2, np.maximum(MEASURED - 0.2, 0.0)):
        curve = fit_calibration(MEASURED, seen)
        assert np.abs(curve.drawn - curve.wanted).max() < 0.02 + 1e-9


def test_the_portraits_own_gap_is_left_alone_and_the_correction_comes_in_beside_it() -> None:
    curve = LipCalibration(np.array([0.0, 0.4]), np.array([0.0, 0.2]))
    scale = curve.scale(np.array([0.1, 0.115, 0.13, 0.2, 0.6]), 0.1)
    assert scale[0] == 1.0
    assert scale[1] == pytest.approx(0.75)
    assert scale[2:4] == pytest.approx([0.5, 0.5])
    assert scale[4] == pytest.approx(1.0 - 0.2 / 0.6)


def test_the_renderer_draws_the_gap_of_the_curve(portrait: Any) -> None:
    curve = LipCalibration(np.array([0.0, 0.4]), np.array([0.0, 0.3]))
    plain, corrected = (PortraitMotion(portrait.points, portrait.fit, portrait.model, lips) for lips in (None, curve))
    opened = portrait.expression_for(13, 14, 0.15)
    expressions = np.stack([0 * opened, opened])
    before, after = (one.displacements(expressions)[0] for one in (plain, corrected))
    assert np.array_equal(after[0], before[0])
    assert middle_gap(corrected, after)[1] == pytest.approx(0.75 * middle_gap(plain, before)[1], rel=1e-6)
    image = next(
        MeshRenderer(portrait.image, portrait.fit, portrait.points, portrait.model, lips=curve).render(
            portrait.driven()
        )
    )
    assert np.array_equal(image, portrait.image)


def test_the_mouth_is_tried_at_the_stated_openings(portrait: Any) -> None:
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    moved, _ = motion.displacements(openings(portrait.model, motion))
    found = middle_gap(motion, moved).reshape(len(WIDTHS), len(GAPS))
    wider = motion.lips.model_gap < np.array(GAPS)
    for gaps in found:
        assert gaps[wider] == pytest.approx(np.array(GAPS)[wider], abs=1e-4)
        assert gaps[0] == pytest.approx(0.0, abs=1e-6)
    corners = moved[:, 291, 0] - moved[:, 61, 0]
    assert corners[len(GAPS) :] - corners[: len(GAPS)] == pytest.approx(np.full(len(GAPS), WIDTHS[1]), abs=1e-4)


def test_half_of_the_trust_makes_half_of_the_correction() -> None:
    full, half, none = (fit_calibration(MEASURED, MEASURED + 0.015, trust) for trust in (1.0, 0.5, 0.0))
    inside = (full.wanted > 0.03) & (full.wanted < 0.2)
    change = (full.wanted - full.drawn)[inside]
    assert (change > 0.008).all()
    assert (half.wanted - half.drawn)[inside] == pytest.approx(0.5 * change, abs=1e-3)
    assert np.abs(none.drawn - none.wanted).max() < 1e-12


def test_turned_and_small_faces_are_not_trusted(portrait: Any) -> None:
    def seen(degrees: float, side: float) -> Portrait:
        rotation = np.array([[0.0, np.radians(degrees), 0.0]], np.float32)
        fit = portrait.fit.with_(rotation=rotation, crop=np.array([128.0, 128.0, side]))
        return Portrait(portrait.image, portrait.points, fit)

    assert trust_in(seen(0.0, 200.0).fit) == trust_in(seen(-8.0, 160.0).fit) == 1.0
    assert trust_in(seen(14.0, 200.0).fit) == pytest.approx(0.5)
    assert trust_in(seen(0.0, 130.0).fit) == pytest.approx(0.5)
    for degrees, side in ((21.0, 200.0), (-35.0, 400.0), (0.0, 99.0)):
        assert trust_in(seen(degrees, side).fit) == 0.0
        assert calibrate_lips(seen(degrees, side), portrait.model, tracker=NoTracker()) is None


class NoTracker:
    """Must not be asked."""

    def track(self, frames: Any) -> LandmarkTrack:
        raise AssertionError("tracked")


class GreedyTracker:
    """Sees every mouth 0.02 face units more open than the lips of the known portrait are drawn, or no face."""

    def __init__(self, motion: PortraitMotion, expression: np.ndarray, found: bool) -> None:
        moved, _ = motion.displacements(expression)
        self.points = np.zeros((len(moved), 478, 3), np.float32)
        for frame, one in zip(self.points, moved, strict=True):
            frame[:468] = motion.camera.project(motion.vertices + one)
        self.points[:, 14, 1] += 0.02 * motion.camera.scale
        self.found = found

    def track(self, frames: Any) -> LandmarkTrack:
        count = sum(1 for _ in frames)
        points = np.repeat(self.points, count // len(self.points), axis=0)
        return LandmarkTrack(points, np.full(count, self.found), (512, 512))


def test_a_portrait_whose_mouths_look_too_open_is_drawn_less_open(portrait: Any) -> None:
    known = Portrait(portrait.image, portrait.points, portrait.fit)
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    assert float(portrait.fit.crop[2]) <= 256  # tracked at its own size
    tried = openings(portrait.model, motion)
    curve = calibrate_lips(known, portrait.model, tracker=GreedyTracker(motion, tried, True))
    assert curve is not None
    inside = (curve.wanted > 0.03) & (curve.wanted < 0.2)
    assert (curve.wanted - curve.drawn)[inside] == pytest.approx(np.full(inside.sum(), 0.8 * 0.02), abs=0.003)
    assert calibrate_lips(known, portrait.model, tracker=GreedyTracker(motion, tried, False)) is None
