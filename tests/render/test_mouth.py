"""The mouth interior: bounded teeth, a reddish cavity, and no remains of a closed seam."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from expnet.face.landmarks import INNER_LIP_LOOP
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.mouth_colours import estimate_mouth_colours
from expnet.render.mouth_shading import depth_tones, tooth_tone, wet_lip


def test_the_arch_of_teeth_ends_in_the_dark() -> None:
    middle, cheek = tooth_tone(0.03, 0.05, 0.005), tooth_tone(0.29, 0.05, 0.005)
    assert middle[0] == pytest.approx(1.0)
    assert cheek[0] == 0.0
    tones = [tooth_tone(x, 0.05, 0.005)[1] for x in (0.042, 0.115, 0.177, 0.23)]  # the middles of four teeth
    assert tones == sorted(tones, reverse=True)


def test_the_cavity_is_darkest_above_and_at_the_sides_and_the_tongue_lies_below() -> None:
    top, middle, side = (depth_tones(*place, 0.1, 0.3) for place in ((0.0, 0.1), (0.0, 0.8), (0.2, 0.8)))
    assert top[0] < middle[0]
    assert side[0] < middle[0]
    assert top[1] == 0.0
    assert middle[1] > 0.8
    assert side[1] == pytest.approx(0.0)
    assert depth_tones(0.0, 0.8, 0.1, 0.05)[1] == 0.0  # a small opening shows no tongue


def test_the_inside_of_the_lower_lip_lies_behind_a_crease_and_fades_into_the_mouth() -> None:
    covers = [wet_lip(0.0, 0.1 - above, above) for above in (0.0, 0.01, 0.03, 0.055)]  # half of the height
    assert covers[0] == 0.0
    assert covers[1] > covers[2] > 0.0
    assert covers[3] == 0.0
    assert wet_lip(0.24, 0.09, 0.01) < 0.5 * covers[1]


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


def renderer_opening(renderer: MeshRenderer, coefficients: Any) -> tuple[slice, slice]:
    """The middle of the mouth's opening in the last frame, away from the lips."""
    motion = renderer._motion
    moved, _ = motion.displacements(coefficients.expression)
    pixels = motion.camera.project(motion.vertices + moved[-1])
    return (
        slice(int(pixels[13, 1]) + 3, int(pixels[14, 1]) - 2),
        slice(int(pixels[82, 0]) + 1, int(pixels[312, 0])),
    )
