"""Retention of the first frame's expression, on constructed motion."""

import math

import pytest
import torch

from expnet.face.morphable import builtin_face_model
from expnet.metrics.functional import mouth_opening
from shared.first_frame_retention import LATE_FRAMES, late_mean, nearest_face, opening_range, share_along


@pytest.fixture
def metric() -> torch.Tensor:
    return builtin_face_model().expression_metric


def test_a_mood_that_fades(metric: torch.Tensor) -> None:
    torch.manual_seed(0)
    speech, smile, calm = torch.randn(200, 64), torch.randn(64), torch.randn(64)
    fade = torch.linspace(1, 0, 200)[:, None]
    smiling, fading, neutral = smile + speech, calm + fade * (smile - calm) + speech, calm + speech
    for spoken, left in ((smiling, 1.0), (fading, float(fade[-LATE_FRAMES:].mean())), (neutral, 0.0)):
        change = late_mean(spoken) - late_mean(neutral)
        assert share_along(change, smile - calm, metric) == pytest.approx(left, abs=1e-5)
    assert math.isnan(share_along(smile, torch.zeros(64), metric))


def test_a_change_that_the_face_does_not_show_counts_little(metric: torch.Tensor) -> None:
    _, directions = torch.linalg.eigh(metric)
    hidden, seen = directions[:, 0], directions[:, -1]
    assert share_along(hidden, seen + hidden, metric) < 0.1 < 0.4 < share_along(hidden, seen + hidden, torch.eye(64))


def test_nearest_face_is_nearest_on_the_face(metric: torch.Tensor) -> None:
    _, directions = torch.linalg.eigh(metric)
    seen, hidden = directions[:, -1], directions[:, 0]
    faces = {"hardly seen": 2 * hidden, "seen": seen}
    assert nearest_face(torch.zeros(64), faces, metric) == "hardly seen"
    assert nearest_face(torch.zeros(64), faces, torch.eye(64)) == "seen"


def test_opening_range_leaves_out_a_twentieth_at_both_ends() -> None:
    model = builtin_face_model()
    landmarks = model.landmarks(torch.zeros(100, model.identity_size), torch.zeros(100, 64)).double().clone()
    still = mouth_opening(landmarks)
    assert opening_range(landmarks) == pytest.approx(0, abs=1e-9)
    eyes = (landmarks[0, 45] - landmarks[0, 36]).norm()
    down = landmarks[0, 8] - landmarks[0, 27]
    landmarks[:, 66] = landmarks[:, 62] + torch.linspace(0, 1, 100)[:, None].double() * eyes * down / down.norm()
    assert opening_range(landmarks) == pytest.approx(0.9, abs=1e-6)
    assert float(still[0]) >= 0
