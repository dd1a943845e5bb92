"""Rows of coefficients in a square, and how they follow the square and the image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from expnet.errors import InputError
from expnet.face.camera import project
from expnet.models.face_vid2vid.head_motion import _about, angles_in_volume
from expnet.render.face_vid2vid.face_crop import FaceCrop
from expnet.render.video_renderer.datamodule import change_colours, cut
from expnet.render.video_renderer.motion_rows import Similarity, changed_rows, motion_rows, still_windows, windows_of

SQUARE = FaceCrop(100, 40, 200)
CHANGE = Similarity(angle=0.3, scale=1.2, shift=(0.1, -0.05))


def driven(portrait: Any, frames: int = 5) -> Any:
    generator = np.random.default_rng(0)
    return portrait.driven(
        frames,
        expression=generator.normal(size=(frames, 64)),
        rotation=0.3 * generator.normal(size=(frames, 3)),
        translation=0.2 * generator.normal(size=(frames, 3)),
    )


def projected(rows: np.ndarray, portrait: Any) -> np.ndarray:
    """Landmarks (T, 68, 2) in the units of the square, by the row's rotation and place alone."""
    model = portrait.model
    expression = torch.from_numpy(rows[:, :64].copy())
    points = model.landmarks(torch.zeros(model.identity_size), expression)
    turned = project(
        points, torch.from_numpy(rows[:, 64:67].copy()), torch.zeros(len(rows), 3), torch.tensor([0.0, 0, 1])
    )
    unit = 1015 / 224 / 10  # of the camera above
    return turned.numpy() / unit * np.exp(rows[:, 69])[:, None, None] + rows[:, None, 67:69]


def test_a_row_says_where_the_face_lies_in_the_square(portrait: Any) -> None:
    motion = driven(portrait)
    landmarks = project(
        portrait.model.landmarks(torch.zeros(portrait.model.identity_size), torch.from_numpy(motion.expression)),
        torch.from_numpy(motion.rotation),
        torch.from_numpy(motion.translation),
        torch.from_numpy(np.atleast_2d(motion.crop)[0]).float(),
    ).numpy()
    expected = (landmarks - [SQUARE.left, SQUARE.top]) / (SQUARE.side / 2) - 1
    np.testing.assert_allclose(projected(motion_rows(motion, SQUARE), portrait), expected, atol=1e-4)


def test_a_changed_square_moves_the_face_as_it_moves_positions(portrait: Any) -> None:
    rows = motion_rows(driven(portrait), SQUARE)
    moved = projected(rows, portrait) @ CHANGE.matrix[:, :2].T + CHANGE.matrix[:, 2]
    np.testing.assert_allclose(projected(changed_rows(rows, CHANGE), portrait), moved, atol=1e-4)


def test_similarities_follow_one_another() -> None:
    first = Similarity(-0.2, 0.8, (0.3, 0.1))
    both = CHANGE.after(first).matrix
    place = np.array([0.4, -0.7])
    once = first.matrix @ [*place, 1.0]
    np.testing.assert_allclose(both @ [*place, 1.0], CHANGE.matrix @ [*once, 1.0])


def test_pixels_move_as_positions_do() -> None:
    image = np.zeros((1, 80, 80, 3), np.uint8)
    cv2.circle(image[0], (30, 50), 4, (255, 255, 255), -1)
    place = (np.array([30, 50]) + 0.5) * 2 / 80 - 1
    found = cut(image, CHANGE, 64)[0, ..., 0].astype(float)
    rows, columns = np.mgrid[:64, :64]
    centre = np.array([(columns * found).sum(), (rows * found).sum()]) / found.sum()
    np.testing.assert_allclose((centre + 0.5) * 2 / 64 - 1, CHANGE.matrix @ [*place, 1.0], atol=0.01)


def test_the_inner_square_is_cut_to_the_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 80, 80, 3), np.uint8)
    np.testing.assert_array_equal(cut(image, Similarity(scale=80 / 64), 64), image[:, 8:72, 8:72])


def test_windows_repeat_the_ends() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    windows = windows_of(rows, np.array([0, 5]), np.array([-2, 0, 2]))
    np.testing.assert_array_equal(windows[:, 0], [[0, 0, 4], [6, 10, 10]])
    np.testing.assert_array_equal(still_windows(rows[:1], 3)[0], [[0, 0, 0], [1, 1, 1]])


def test_colours_of_all_images_change_alike() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    images = np.stack([image, image])
    changed = change_colours(images, 0.3, np.random.default_rng(1))
    np.testing.assert_array_equal(changed[0], changed[1])
    assert (changed[0] != image).any()
    assert (np.diff(changed[0, 0].astype(int), axis=0) >= 0).all(), "brighter stays brighter"


def test_coefficients_without_a_crop_are_refused(portrait: Any) -> None:
    with pytest.raises(InputError, match="lack their crop"):
        motion_rows(portrait.fit.with_(crop=None), SQUARE)


def test_head_angles_are_those_that_turn_keypoints(portrait: Any) -> None:
    """A point of the head seen by the camera, y up and z to the viewer, and in a volume, where both point away."""
    from expnet.face.rotation import euler_to_matrix

    rotation = torch.tensor([[0.3, -0.4, 0.2], [-0.1, 0.5, -0.6]], dtype=torch.float64)
    flip = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    point = torch.tensor([0.2, 0.5, -0.3], dtype=torch.float64)
    seen = euler_to_matrix(rotation) @ point
    pitch, yaw, roll = angles_in_volume(rotation).deg2rad().unbind(1)
    turned = (_about(0, pitch) @ _about(1, yaw) @ _about(2, roll)) @ (point * flip)
    torch.testing.assert_close(turned, seen * flip)
