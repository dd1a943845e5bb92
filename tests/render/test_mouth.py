"""The mouth interior: bounded teeth, a reddish cavity, and no remains of a closed seam."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from expnet.face.landmarks import INNER_LIP_LOOP
from expnet.render.edge_blur import edge_blur
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.mouth_colours import estimate_mouth_colours
from expnet.render.mouth_paint import opening_light
from expnet.render.mouth_shading import UPPER_ENDS, depth_tones, drawn_colour, tooth_tone, wet_lip

TINT = np.array([[200.0, 195, 185], [50, 20, 20], [150, 74, 74], [170, 98, 94], [170, 90, 90]])
"""Teeth, cavity, tongue, gum and lower lip."""


def test_the_arch_of_teeth_ends_in_the_dark() -> None:
    middle, cheek = (tooth_tone(x, 0.05, 0.005, UPPER_ENDS) for x in (0.03, 0.29))
    assert middle[0] == pytest.approx(1.0)
    assert cheek[0] == 0.0
    for side in (-1.0, 1.0):
        tones = [tooth_tone(side * x, 0.05, 0.005, UPPER_ENDS)[1] for x in (0.042, 0.115, 0.177, 0.23)]  # four teeth
        assert tones == sorted(tones, reverse=True)


def test_the_two_halves_of_the_arch_differ_a_little() -> None:
    left, right = (tooth_tone(side * 0.115, 0.05, 0.005, UPPER_ENDS)[1] for side in (-1.0, 1.0))
    assert 0.005 < abs(left - right) < 0.1


def drawn(y: float, opening: float, *, side: float = 0.02, lower_edge: float = -1.0) -> float:
    """Brightness at a height below the seam (0), in a mouth that opens by 15 % above it."""
    below_lip, above_lip = 0.15 * opening - y, y + 0.85 * opening
    return float(np.mean(drawn_colour(side, y, below_lip, above_lip, 0.0, lower_edge, opening, 0.005, TINT)))


def test_upper_teeth_are_dim_behind_nearly_closed_lips_and_bright_behind_open_ones() -> None:
    narrow, wide = drawn(-0.01, 0.03), drawn(-0.01, 0.15)
    assert narrow < 0.7 * wide
    assert wide > 0.7 * TINT[0].mean()


def test_lower_teeth_show_above_the_lip_where_their_edge_is_above_it() -> None:
    hidden, shown = (drawn(-0.115, 0.15, lower_edge=edge) for edge in (-0.15, -0.09))
    assert shown > 1.3 * hidden


def test_a_portraits_own_teeth_keep_their_light_where_the_mouth_is_as_open_as_in_the_portrait() -> None:
    lights = [opening_light(opening) for opening in np.linspace(0.0, 0.2, 21)]
    assert lights == sorted(lights)
    assert 0.3 < lights[0] < 0.6
    assert lights[-1] == 1.0


def test_the_cavity_is_darkest_above_and_at_the_sides_and_the_tongue_lies_below() -> None:
    top, middle, side = (depth_tones(*place, 0.1, 0.3) for place in ((0.0, 0.1), (0.0, 0.8), (0.2, 0.8)))
    assert top[0] < middle[0]
    assert side[0] < middle[0]
    assert top[1] == 0.0
    assert middle[1] > 0.8
    assert side[1] == pytest.approx(0.0)
    assert depth_tones(0.0, 0.8, 0.1, 0.05)[1] == 0.0  # a small opening shows no tongue


def test_the_inside_of_the_lower_lip_lies_behind_a_crease_and_fades_into_the_mouth() -> None:
    lips = [wet_lip(0.0, 0.1 - above, above, 0.1) for above in (0.0, 0.01, 0.03, 0.055)]  # half of the height
    covers, tones = zip(*lips, strict=True)
    assert covers[0] > covers[1] > covers[2] > covers[3] == 0.0
    assert tones[0] < 0.75 * tones[2]
    assert wet_lip(0.24, 0.09, 0.01, 0.1)[0] < 0.5 * covers[1]


def test_the_inside_of_the_mouth_has_the_colour_of_the_portraits_lips(portrait: Any) -> None:
    points = portrait.points[:468, :2].astype(float)
    red, blue = (
        estimate_mouth_colours(np.full_like(portrait.image, 0) + np.array(colour, np.uint8), points, np.zeros((0, 3)))
        for colour in ((200, 120, 110), (110, 120, 200))
    )
    assert red.lip[0] > red.lip[2]
    assert blue.lip[2] > blue.lip[0]
    assert red.tongue[0] - red.tongue[2] > blue.tongue[0] - blue.tongue[2]


@pytest.mark.parametrize("skin", [(244, 214, 196), (205, 160, 138), (150, 105, 80), (90, 62, 50)])
def test_teeth_are_never_cold_in_ordinary_light(portrait: Any, skin: tuple[int, int, int]) -> None:
    """Pale skin has less red than average skin, which does not mean green light."""
    picture = np.full_like(portrait.image, 0) + np.array(skin, np.uint8)
    red, green, blue = estimate_mouth_colours(picture, portrait.points[:468, :2].astype(float), np.zeros((0, 3))).teeth
    assert red >= green >= blue
    assert red - blue < 0.35 * red


def test_coloured_light_colours_the_teeth(portrait: Any) -> None:
    picture = np.full_like(portrait.image, 0) + np.array((90, 110, 200), np.uint8)
    red, _, blue = estimate_mouth_colours(picture, portrait.points[:468, :2].astype(float), np.zeros((0, 3))).teeth
    assert blue > red


def test_the_line_between_closed_lips_does_not_stay_on_the_teeth(portrait: Any) -> None:
    """A green line drawn between nearly closed lips is visible at rest and gone when the mouth is open."""
    image, points = portrait.image.copy(), portrait.points.copy()
    points[[191, 80, 81, 82, 13, 312, 311, 310, 415], 1] = points[[95, 88, 178, 87, 14, 317, 402, 318, 324], 1] - 1.0
    rows = slice(int(points[13, 1]) - 1, int(points[14, 1]) + 2)
    columns = slice(int(points[82, 0]), int(points[312, 0]))
    image[rows, columns] = (0, 255, 0)
    renderer = MeshRenderer(image, portrait.fit, points, portrait.model)
    opened = portrait.driven(
        2, expression=[0 * portrait.expression_for(13, 14, 0.2), portrait.expression_for(13, 14, 0.2)]
    )
    rest, wide = (frame.astype(int) for frame in renderer.render(opened))
    assert np.array_equal(rest[rows, columns], image[rows, columns])
    placed = renderer_opening(renderer, opened)
    inside = wide[placed]
    assert (inside[..., 1] - inside[..., [0, 2]].max(axis=-1) < 40).all()


def test_a_dark_gap_between_the_lips_of_the_portrait_does_not_remain_a_hole(portrait: Any) -> None:
    """Lips that are parted over a black gap show teeth, tongue and lip when they open further."""
    image, points = portrait.image.copy(), portrait.points
    gap = Image.new("L", image.shape[1::-1])
    ImageDraw.Draw(gap).polygon([tuple(point) for point in points[list(INNER_LIP_LOOP), :2].tolist()], fill=255)
    image[np.asarray(gap) > 0] = (8, 4, 4)
    renderer = MeshRenderer(image, portrait.fit, points, portrait.model)
    change = portrait.expression_for(13, 14, 0.12)
    opened = portrait.driven(2, expression=[0 * change, change])
    rest, wide = renderer.render(opened)
    assert np.array_equal(rest, image)
    inside = wide[renderer_opening(renderer, opened)].mean(axis=-1)
    assert (inside < 24).mean() < 0.1


def test_teeth_that_the_lips_uncover_continue_the_portraits_own(portrait: Any) -> None:
    """Blue teeth from the upper to the lower lip: no grey band appears above them as the upper lip rises."""
    image, points = portrait.image.copy(), portrait.points
    gap = Image.new("L", image.shape[1::-1])
    ImageDraw.Draw(gap).polygon([tuple(point) for point in points[list(INNER_LIP_LOOP), :2].tolist()], fill=255)
    image[np.asarray(gap) > 0] = (120, 150, 220)
    renderer = MeshRenderer(image, portrait.fit, points, portrait.model)
    change = portrait.expression_for(13, 14, 0.06)
    opened = portrait.driven(2, expression=[0 * change, change])
    rest, wide = (frame.astype(int) for frame in renderer.render(opened))
    assert np.array_equal(rest, image)
    motion = renderer._motion
    moved, _ = motion.displacements(opened.expression)
    pixels = motion.camera.project(motion.vertices + moved[-1])
    columns = slice(int(pixels[82, 0]) + 2, int(pixels[312, 0]) - 1)
    uncovered = wide[round(pixels[13, 1]) + 2 : round(pixels[13, 1]) + 6, columns]
    assert ((uncovered[..., 2] - uncovered[..., 0]) > 20).all()


@pytest.mark.parametrize("deviation", [1.5, 3.0])
def test_the_blur_of_a_face_is_measured(portrait: Any, deviation: float) -> None:
    points = portrait.points[:468, :2].astype(float)
    stripes = np.where((np.arange(portrait.image.shape[1]) // 24) % 2, 255.0, 0.0)
    sharp = np.broadcast_to(stripes[None, :, None], portrait.image.shape)
    blurred = np.stack([gaussian_filter(sharp[..., c], deviation) for c in range(3)], axis=-1)
    assert edge_blur(blurred.astype(np.uint8), points) == pytest.approx(deviation, rel=0.1)
    assert edge_blur(sharp.astype(np.uint8), points) < 0.8


def test_teeth_in_a_blurred_portrait_are_as_blurred(portrait: Any) -> None:
    """The steepest edges of the row of teeth are less steep, relative to the brightness of the teeth."""
    soft = np.stack([gaussian_filter(portrait.image[..., c].astype(float), 4.0) for c in range(3)], axis=-1)
    change = portrait.expression_for(13, 14, 0.12)
    steepest = []
    for image in (portrait.image, soft.astype(np.uint8)):
        renderer = MeshRenderer(image, portrait.fit, portrait.points, portrait.model)
        opened = portrait.driven(1, expression=[change])
        inside = next(iter(renderer.render(opened)))[renderer_opening(renderer, opened)].astype(float).mean(axis=-1)
        steepest.append(np.quantile(np.abs(np.diff(inside, axis=0)), 0.95) / np.quantile(inside, 0.9))
    assert steepest[1] < 0.8 * steepest[0]


def renderer_opening(renderer: MeshRenderer, coefficients: Any) -> tuple[slice, slice]:
    """The middle of the mouth's opening in the last frame, away from the lips."""
    motion = renderer._motion
    moved, _ = motion.displacements(coefficients.expression)
    pixels = motion.camera.project(motion.vertices + moved[-1])
    return (
        slice(int(pixels[13, 1]) + 3, int(pixels[14, 1]) - 2),
        slice(int(pixels[82, 0]) + 1, int(pixels[312, 0])),
    )
