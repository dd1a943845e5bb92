"""Lips that close from an open portrait: nothing from between them stays visible, and they meet in a dark line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from expnet.render.lip_seam import darken_seam
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait_motion import PortraitMotion

UPPER, LOWER = list(UPPER_ROWS[0][1:-1]), list(LOWER_ROWS[0][1:-1])


@pytest.fixture
def open_mouth(portrait: Any) -> Any:
    """The portrait with lips 6 px further apart, skin of one colour, and green teeth a pixel past the contour."""
    points = portrait.points.copy()
    for further, (upper, lower) in enumerate(zip(UPPER_ROWS, LOWER_ROWS, strict=True)):
        points[list(upper[1:-1]), 1] -= 2.0 + 2.0 * further
        points[list(lower[1:-1]), 1] += 4.0 + 2.0 * further
    image = portrait.image.copy()
    left, right = int(points[61, 0]) - 20, int(points[291, 0]) + 20
    image[int(points[0, 1]) - 15 : int(points[17, 1]) + 20, left:right] = (200, 160, 140)
    for x in range(int(points[81, 0]), int(points[311, 0]) + 1):
        upper, lower = (np.interp(x, points[row, 0], points[row, 1]) for row in (UPPER, LOWER))
        image[int(np.ceil(upper - 1.0)) : int(np.floor(lower + 1.0)) + 1, x] = (0, 255, 0)
    return replace(portrait, image=image, points=points)


def closing(portrait: Any) -> np.ndarray:
    """Coefficients that close the lips of the mean face."""
    basis, mean = portrait.model.expression_basis.numpy().astype(float), portrait.model.mean.numpy().astype(float)
    return np.linalg.lstsq(basis[UPPER, 1] - basis[LOWER, 1], mean[LOWER, 1] - mean[UPPER, 1], rcond=None)[0]


def test_no_tooth_stays_between_lips_that_close(open_mouth: Any) -> None:
    renderer = MeshRenderer(open_mouth.image, open_mouth.fit, open_mouth.points, open_mouth.model)
    shut = closing(open_mouth)
    rest, closed = renderer.render(open_mouth.driven(2, expression=[0 * shut, shut]))
    assert np.array_equal(rest, open_mouth.image)
    middle = np.s_[int(open_mouth.points[0, 1]) : int(open_mouth.points[17, 1]), 195:226]
    green = [int((frame[middle][..., 1].astype(int) - frame[middle][..., 0] > 60).sum()) for frame in (rest, closed)]
    assert green[0] > 150
    assert green[1] == 0


def test_the_shadow_comes_with_contact_and_only_where_lips_have_closed(portrait: Any, open_mouth: Any) -> None:
    motion = PortraitMotion(open_mouth.points, open_mouth.fit, open_mouth.model)
    shut = closing(open_mouth)
    moved, _ = motion.displacements(np.stack([0 * shut, 0.5 * shut, shut, -shut]))
    rest, half, closed, wide = (motion.lips.contact(one) for one in moved)
    assert rest.tolist() == [0.0] * 11
    assert wide.tolist() == [0.0] * 11
    assert closed[1:-1] == pytest.approx(np.ones(9))
    assert closed[[0, -1]].tolist() == [0.0, 0.0]
    assert half.max() < 0.5
    # A portrait whose lips touch has its own shadow.
    points = portrait.points.copy()
    points[UPPER, 1] = points[LOWER, 1]
    touching = PortraitMotion(points, portrait.fit, portrait.model)
    moved, _ = touching.displacements(np.stack([shut]))
    assert touching.lips.contact(moved[0]).max() == pytest.approx(0.0, abs=1e-9)


def test_the_line_is_as_dark_and_as_wide_as_stated() -> None:
    frame = np.full((40, 120, 3), 200, np.uint8)
    seam = np.stack([np.linspace(10.0, 110.0, 11), np.full(11, 20.0)], axis=1)
    darken_seam(frame, seam, np.ones(11), 200.0)  # half the width: 0.009 * 200 = 1.8 px
    assert frame[20, 60].tolist() == [110, 90, 90]
    for away in (1, 2, 3):
        light = 200 * (1 - 0.45 * np.exp(-((away / 1.8) ** 2)))
        assert frame[20 + away, 60, 0] == pytest.approx(light, abs=1)
    assert (frame[:12] == 200).all()
    assert (frame[29:] == 200).all()


def test_no_contact_changes_no_pixel() -> None:
    frame = np.full((40, 120, 3), 200, np.uint8)
    seam = np.stack([np.linspace(10.0, 110.0, 11), np.full(11, 20.0)], axis=1)
    darken_seam(frame, seam, np.zeros(11), 200.0)
    assert (frame == 200).all()
