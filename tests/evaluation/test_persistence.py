"""Style from the first frame to the last, on motion that is made up."""

import math

import pytest
import torch

from expnet.evaluation.persistence import LATE_FRAMES, nearest_face, opening_range, style_kept
from expnet.face.morphable import builtin_face_model
from expnet.metrics.functional import mouth_opening


@pytest.fixture
def metric() -> torch.Tensor:
    return builtin_face_model().expression_metric


def test_style_is_what_two_starts_still_differ_by(metric: torch.Tensor) -> None:
    torch.manual_seed(0)
    speech, smile, calm = torch.randn(200, 64), torch.randn(64), torch.randn(64)
    fade = torch.linspace(1, 0, 200)[:, None]
    assert style_kept(smile + speech, calm + speech, smile, calm, metric) == pytest.approx(1, abs=1e-5)
    assert style_kept(speech, speech, smile, calm, metric) == 0
    fading = style_kept(calm + fade * (smile - calm) + speech, calm + speech, smile, calm, metric)
    assert fading == pytest.approx(float(fade[-LATE_FRAMES:].mean()), abs=1e-5)
    assert math.isnan(style_kept(speech, speech, smile, smile, metric))


def test_a_step_that_the_face_does_not_show_is_no_style(metric: torch.Tensor) -> None:
    torch.manual_seed(0)
    values, directions = torch.linalg.eigh(metric)
    seen, hidden = directions[:, -1], directions[:, 0] * (values[-1] / values[0].clamp_min(1e-9)).sqrt()
    rest = torch.zeros(60, 64)
    kept = style_kept(rest + seen, rest, seen + 1e-3 * hidden, torch.zeros(64), metric)
    assert kept == pytest.approx(1, abs=0.01)


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
