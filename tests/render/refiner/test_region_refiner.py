"""The refiner's interface: where regions lie, what a network is given, and how its output changes a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from expnet.models.refiner import Refiner
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.mouth_geometry import between
from expnet.render.portrait_motion import PortraitMotion
from expnet.render.refiner.region_pixels import change_region, cut_region
from expnet.render.refiner.region_refiner import NetworkRefiner, PairedRefiner, RegionCrop
from expnet.render.refiner.regions import REGIONS, Placement, opening_mask, place


def network(**options) -> Refiner:
    """A network with large changes."""
    torch.manual_seed(0)
    made = Refiner(kinds=["mouth", "eye"], size=48, width=4, residual=True, **options).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.2)
    return made


def renderer(portrait: Any, refiner: Any) -> MeshRenderer:
    return MeshRenderer(portrait.image, portrait.fit, portrait.points, portrait.model, refiner=refiner)


class Recorder:
    kinds, size = ("mouth", "eye"), 48

    def __init__(self) -> None:
        self.frames: list[list[RegionCrop]] = []

    def __call__(self, crops: list[RegionCrop]) -> list[None]:
        self.frames.append(crops)
        return [None] * len(crops)


def test_the_portrait_comes_back_bit_for_bit(portrait: Any) -> None:
    frame = next(renderer(portrait, NetworkRefiner(network())).render(portrait.driven()))
    assert np.array_equal(frame, portrait.image)


def test_equal_coefficients_give_equal_bits_and_only_regions_change(portrait: Any) -> None:
    opened = portrait.expression_for(13, 14, 0.15)
    coefficients = portrait.driven(3, expression=[opened, 0.3 * opened, opened])
    blink = np.array([0.5, 0.0, 0.5])
    plain = next(renderer(portrait, None).render(coefficients, blink=blink))
    first, _, again = renderer(portrait, NetworkRefiner(network())).render(coefficients, blink=blink)
    assert np.array_equal(first, again)
    changed = (first != plain).any(axis=-1)
    assert changed.sum() > 500
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    pixels = np.stack(np.meshgrid(np.arange(512.0), np.arange(512.0)), axis=-1)
    for kind in ("mouth", "eye"):
        for region in REGIONS[kind]:
            inside = place(region, motion, motion.camera).inside(pixels)
            changed &= ~((inside > 0) & (inside < 1)).all(axis=-1)
    assert not changed.any()


def test_a_network_is_given_the_frame_the_portrait_and_the_motion(portrait: Any) -> None:
    recorder = Recorder()
    wide = portrait.expression_for(13, 14, 0.2)
    list(renderer(portrait, recorder).render(portrait.driven(2, expression=[0 * wide, wide])))
    rest, opened = recorder.frames
    assert [crop.kind for crop in rest] == ["mouth", "eye", "eye"]
    for crop in rest:
        assert crop.gate == 0
        assert np.array_equal(crop.inputs[:3], crop.inputs[3:6])
        assert np.abs(crop.inputs[6:8].astype(int) - 128).max() <= 1
        assert np.array_equal(crop.inputs[8], crop.inputs[9])
    mouth = opened[0]
    assert 0.9 < mouth.gate <= 1
    assert np.array_equal(mouth.inputs[3:6], rest[0].inputs[3:6])
    assert mouth.inputs[8].sum() > 2 * mouth.inputs[9].sum()
    assert np.abs(mouth.inputs[6:8].astype(int) - 128).max() > 10


def test_eyes_have_their_outer_corner_on_one_side(portrait: Any) -> None:
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    points = motion.camera.project(motion.vertices)[:, :2]
    for region in REGIONS["eye"]:
        where = place(region, motion, motion.camera)
        outer, inner = where.inside(points[list(region.corners)])
        assert outer[0] < 0.35 < 0.65 < inner[0]
        assert abs(outer[1] - 0.5) < 0.1


def test_cutting_agrees_with_a_slow_average() -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (40, 50, 2)).astype(np.float32)
    where = Placement(np.array([23.0, 18.0]), np.array([12.0, 6.0]), np.array([-6.0, 12.0]))
    got = cut_region(picture, where.middle, where.across, where.down, 6)
    taps = int(np.ceil(np.hypot(12, 6) / 6 - 0.25))
    for row in range(6):
        for column in range(6):
            values = []
            for j in range(taps):
                for i in range(taps):
                    u, v = (column + (i + 0.5) / taps) / 6 - 0.5, (row + (j + 0.5) / taps) / 6 - 0.5
                    x, y = where.middle + u * where.across + v * where.down
                    left, top = int(x), int(y)
                    wx, wy = x - left, y - top
                    values.append(
                        (1 - wy) * ((1 - wx) * picture[top, left] + wx * picture[top, left + 1])
                        + wy * ((1 - wx) * picture[top + 1, left] + wx * picture[top + 1, left + 1])
                    )
            assert got[row, column] == pytest.approx(np.mean(values, axis=0), abs=1e-2)


def test_a_change_is_applied_inside_the_square() -> None:
    frame = np.full((64, 64, 3), 100, np.uint8)
    changes = np.zeros((16, 16, 6), np.float32)
    changes[4:12, 4:12, 0], changes[4:12, 4:12, 5] = 0.5, 20.0
    # After a quarter turn, ``across`` points down in the image.
    change_region(frame, changes, np.array([32.0, 24.0]), np.array([0.0, 32.0]), np.array([-32.0, 0.0]))
    assert frame[24, 32].tolist() == [150, 100, 120]
    untouched = np.ones((64, 64), bool)
    untouched[14:35, 22:43] = False
    assert (frame[untouched] == 100).all()


def test_the_mask_of_an_opening() -> None:
    where = Placement(np.array([15.5, 15.5]), np.array([32.0, 0.0]), np.array([0.0, 32.0]))
    upper, lower = np.array([[8.0, 16.0], [24.0, 16.0]]), np.array([[24.0, 20.0], [8.0, 20.0]])
    mask = opening_mask(where, upper, lower, 32)
    assert mask[18, 16] == 1
    assert mask[16, 16] == pytest.approx(0.5)
    assert mask[12].max() == mask[24].max() == mask[:, :8].max() == 0
    assert mask.sum() == pytest.approx(4 * 17, abs=1)
    crossed = opening_mask(where, lower, upper, 32)
    assert crossed.max() <= 0.5


def test_two_backgrounds_get_one_change() -> None:
    class Counting(Recorder):
        def __call__(self, crops: list[RegionCrop]) -> list[Any]:
            super().__call__(crops)
            return [np.full((48, 48, 6), len(self.frames), np.float32)]

    paired = PairedRefiner(Counting())
    answers = [float(paired([])[0][0, 0, 0]) for _ in range(4)]
    assert answers == [1, 1, 2, 2]


def test_the_network_between_the_lips_leaves_the_lips_alone(portrait: Any) -> None:
    torch.manual_seed(0)
    made = Refiner(kinds=["inner_mouth"], size=32, width=8, inside=True).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.2)
    wide = portrait.expression_for(13, 14, 0.2)
    opened = portrait.driven(2, expression=[0 * wide, wide])
    frames = list(renderer(portrait, NetworkRefiner(made)).render(opened))
    assert np.array_equal(frames[0], portrait.image)
    plain = list(renderer(portrait, None).render(opened))[1]
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    moved, _ = motion.displacements(opened.expression)
    pixels = motion.camera.project(motion.vertices + moved[1])
    upper, lower = (np.ascontiguousarray(pixels[list(row), :2]) for row in (UPPER_ROWS[0], LOWER_ROWS[0]))
    changed = np.argwhere((frames[1] != plain).any(axis=-1))
    assert len(changed) > 100
    assert min(between(upper, lower, float(x), float(y))[2] for y, x in changed) > -0.65
