"""Person and background: an exact split, and a background that stays still while the head moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.person_matte import person_matte, split_layers


def soft_disc(size: int, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    return np.clip((radius - np.hypot(rows, columns)) / 6 + 0.5, 0, 1).astype(np.float32)


def test_compositing_the_layers_gives_the_portrait() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    for matte in (soft_disc(90, 25), np.zeros((90, 90), np.float32), np.ones((90, 90), np.float32), None):
        moving, plate = split_layers(image, matte)
        assert np.abs(moving[..., :3] + (1 - moving[..., 3:]) * plate - image).max() < 1e-3


def test_the_background_continues_behind_the_person() -> None:
    """A person of another colour on a colour ramp: the background is the ramp, without a trace of the person."""
    ramp = np.broadcast_to(np.linspace(40, 200, 91)[None, :, None], (91, 91, 3))
    matte = soft_disc(91, 22)
    image = (ramp * (1 - matte[..., None]) + matte[..., None] * [255, 0, 255]).round().astype(np.uint8)
    _, plate = split_layers(image, matte)
    error = np.abs(plate - ramp)
    assert error[matte > 0].mean() < 12
    assert error[matte == 0].max() < 1.0


def test_texture_goes_on_behind_the_person() -> None:
    rough = np.random.default_rng(1).normal(128, 20, (91, 91, 3)).clip(0, 255).astype(np.uint8)
    matte = soft_disc(91, 22)
    _, plate = split_layers(rough, matte)
    rim = (matte > 0) & (soft_disc(91, 16) == 0)
    assert 10 < plate[rim].std() < 30


def test_stripes_go_on_behind_a_ragged_edge() -> None:
    """A slightly ragged disc in front of a striped wall: the stripes continue behind it with their contrast."""
    rows, columns = np.mgrid[:181, :181] - 90
    wall = np.broadcast_to((100 + 60 * np.sin(rows / 3.5))[..., None], (181, 181, 3))
    ragged = np.random.default_rng(2).uniform(-2, 2, 181)[:, None]
    matte = (np.hypot(rows, columns) < 50 + ragged).astype(np.float32)
    image = np.where(matte[..., None] > 0, [200, 150, 120], wall).round().astype(np.uint8)
    _, plate = split_layers(image, matte)
    behind = (matte > 0) & (np.hypot(rows, columns) > 36) & (abs(rows) < 25)
    assert plate[behind].std() > 0.75 * wall[behind].std()
    beside = behind & (np.hypot(rows, columns) > 44)
    assert np.corrcoef(plate[beside, 0], wall[beside, 0])[0, 1] > 0.75


def test_a_moving_head_leaves_the_background_where_it_is(make_portrait: Any) -> None:
    portrait = make_portrait(side=0.28, centre=(210.0, 150.0))
    low, high = portrait.points[:468, :2].min(0), portrait.points[:468, :2].max(0)
    rows, columns = np.mgrid[:512, :512]
    centre, radius = (low + high) / 2, (high - low) / 2 * 1.15
    inside = ((columns - centre[0]) / radius[0]) ** 2 + ((rows - centre[1]) / radius[1]) ** 2
    matte = (inside < 1).astype(np.float32)
    given = (portrait.image, portrait.fit, portrait.points, portrait.model)
    turned = portrait.driven(2, rotation=[[0, 0, 0], [0, 0.25, 0.1]])
    rest, layered = MeshRenderer(*given, matte=matte).render(turned)
    sheet = list(MeshRenderer(*given).render(turned))[1]
    assert np.array_equal(rest, portrait.image)
    background = inside > 2.0  # where the turned head does not reach
    assert np.array_equal(layered[background], portrait.image[background])
    assert not np.array_equal(sheet[background], portrait.image[background])


@pytest.mark.usefixtures("face_tracker")
def test_the_person_is_found_in_a_photograph() -> None:
    from skimage.data import astronaut

    from expnet.face.tracker import track_image

    image = astronaut()
    matte = person_matte(image, track_image(image).points[0])
    assert matte is not None
    assert matte[120, 225] == pytest.approx(1.0)  # nose
    assert matte[40, 225] > 0.9  # hair
    assert matte[60, 120] < 0.1  # background beside the head
    blank = np.full_like(image, 128)
    assert person_matte(blank, track_image(image).points[0]) is None


def wall_with_strand(wall: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """A dark disc before a wall, with a dark strand 3 px outside it that the matte has missed."""
    matte = soft_disc(181, 45)
    image = np.where(matte[..., None] > 0, 30.0, wall)
    strand = np.s_[84:97, 90 + 52 : 90 + 54]
    image[strand] = 30.0
    return image.round().clip(0, 255).astype(np.uint8), matte, strand


def test_a_strand_beside_the_matte_moves_with_the_head_before_a_plain_wall() -> None:
    image, matte, strand = wall_with_strand(np.full((181, 181, 3), 210.0))
    moving, plate = split_layers(image, matte, band=12.0)
    assert np.abs(plate[strand] - 210).max() < 3
    assert moving[strand][..., :3].mean() == pytest.approx(30 - 210, abs=3)
    assert np.abs(moving[..., :3] + (1 - moving[..., 3:]) * plate - image).max() < 1e-3
    without, left = split_layers(image, matte)
    assert (left[strand] == 30).all()
    assert (without[strand] == 0).all()
    far = np.hypot(*(np.mgrid[:181, :181] - 90)) > 45 + 3 + 12 + 1
    assert np.array_equal(plate[far], image[far])


def test_before_a_busy_wall_nothing_beside_the_matte_moves() -> None:
    wall = 128 + 60 * np.sin(np.mgrid[:181, :181][1] / 3.0)[..., None] * np.ones(3)
    image, matte, _ = wall_with_strand(wall)
    moving, plate = split_layers(image, matte, band=12.0)
    assert (moving[matte == 0] == 0).all()
    assert np.array_equal(plate[matte == 0], image[matte == 0])
