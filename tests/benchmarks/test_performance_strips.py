"""Moments of a face whose motion is known, and the sheet of strips."""

import numpy as np
import torch

from expnet.face.morphable import builtin_face_model
from shared.performance_strips import Row, around, choose_moments, draw_sheet

FRAMES = 100


def test_moments_are_where_the_face_does_it() -> None:
    face = builtin_face_model()
    neutral = face.landmarks(torch.zeros(1, face.identity_size), torch.zeros(1, face.expression_size))
    points = neutral.double().expand(FRAMES, -1, -1).clone().numpy()
    opening = np.full(FRAMES, 0.1)
    opening[20] = 0.02  # shut between two openings
    opening[40] = 0.4  # wide open
    opening[70:90] = 0.0  # shut for a long time, in a pause
    points[:, 66, 1] = points[:, 62, 1] - opening  # y points upwards
    points[55:60, 48, 0] -= 0.2  # broad
    resting = np.zeros(FRAMES, bool)
    resting[[5, *range(70, 91)]] = True
    assert choose_moments(points, resting) == {"closing": 20, "opening": 40, "smile": 57, "pause": 80}
    assert "pause" not in choose_moments(points, np.zeros(FRAMES, bool))


def test_a_strip_stays_within_the_clip() -> None:
    assert around(50, 9, FRAMES) == list(range(46, 55))
    assert around(1, 9, FRAMES) == list(range(9))
    assert around(99, 9, FRAMES) == list(range(91, 100))
    assert around(2, 9, 5) == list(range(5))


def test_a_sheet_has_a_row_for_each_performance() -> None:
    frames = [np.full((32, 32, 3), value, np.uint8) for value in (10, 200)]
    sheet = np.asarray(draw_sheet("closing", [3, 4], [Row("real", frames), Row("seed 0", frames[::-1])], 16))
    tiles = sheet[18:, 78:].reshape(2, 16, 2, 16, 3)
    assert tiles.mean(axis=(1, 3, 4)).tolist() == [[10, 200], [200, 10]]
