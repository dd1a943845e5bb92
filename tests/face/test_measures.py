"""Measures of the face: checked by hand, their invariances, and their inversion."""

import numpy as np
import pytest
import torch

from expnet.face import measures
from expnet.face.morphable import builtin_face_model
from expnet.face.rotation import euler_to_matrix


@pytest.fixture(scope="module")
def model():
    return builtin_face_model()


@pytest.fixture
def points(model):
    return model.mean[model.landmark_indices].clone()


def test_by_hand():
    points = torch.zeros(68, 2)
    points[36], points[45] = torch.tensor([-2.0, 0.0]), torch.tensor([2.0, 0.0])
    points[62], points[66] = torch.tensor([0.0, 3.0]), torch.tensor([0.0, 4.0])
    points[48], points[54] = torch.tensor([-1.0, 3.5]), torch.tensor([1.0, 3.5])
    assert float(measures.mouth_opening(points)) == pytest.approx(1 / 4)
    assert float(measures.mouth_width(points)) == pytest.approx(2 / 4)
    eye = torch.tensor([[0, 0], [1, 1], [2, 1], [4, 0], [2, -1], [1, -0.5]], dtype=torch.float32)
    points[42:48] = eye
    assert float(measures.left_eye_opening(points)) == pytest.approx((2 + 1.5) / 8)


def test_scale_and_shift_change_nothing_and_batches_work(model, points):
    moved = points.expand(2, 3, 68, 3) * 57.0 + 12.0
    for name, function in measures.MEASURES.items():
        torch.testing.assert_close(function(moved), function(points).expand(2, 3), msg=name, atol=1e-4, rtol=1e-4)


def test_distances_do_not_depend_on_the_pose(points):
    turned = points @ euler_to_matrix(torch.tensor([0.2, -0.3, 0.4])).T
    for name in ("mouth_opening", "mouth_width", "eye_opening", "jaw_drop", "lip_roundness", "lip_pressing"):
        function = getattr(measures, name)
        torch.testing.assert_close(function(turned), function(points))


def test_signs(model):
    zero = torch.zeros(64)
    names = tuple(measures.MEASURES)
    rest = dict(zip(names, measures.measure(model, zero).tolist(), strict=True))
    points = model.landmarks(torch.zeros(model.identity_size), zero)
    for name, rows, shift in (
        ("mouth_opening", [66], [0, -0.1, 0]),
        ("lip_protrusion", list(range(48, 68)), [0, 0, 0.1]),
        ("upper_lip_raise", [62], [0, 0.05, 0]),
        ("lower_lip_depress", [66], [0, -0.05, 0]),
        ("mouth_corner_raise", [48, 54], [0, 0.05, 0]),
        ("jaw_drop", [8], [0, -0.1, 0]),
        ("brow_raise", list(range(17, 27)), [0, 0.1, 0]),
        ("right_eye_opening", [37, 38], [0, 0.02, 0]),
        ("left_eye_opening", [43, 44], [0, 0.02, 0]),
        ("lip_pressing", [51], [0, -0.02, 0]),
    ):
        moved = points.clone()
        moved[rows] += torch.tensor(shift, dtype=torch.float32)
        assert float(measures.MEASURES[name](moved)) > rest[name] + 0.01, name


def test_jacobian_is_the_difference_quotient(model):
    jacobian = measures.measure_jacobian(model)
    assert jacobian.shape == (len(measures.MEASURES), 64)
    direction = torch.randn(64, generator=torch.Generator().manual_seed(0))
    step = 1e-2
    change = measures.measure(model, step * direction) - measures.measure(model, -step * direction)
    np.testing.assert_allclose((change / (2 * step)).numpy(), (jacobian @ direction).numpy(), atol=1e-3)


def test_expression_for_meets_its_measures(model):
    wanted = {"mouth_opening": 0.25, "mouth_width": -0.05, "left_eye_opening": -0.15}
    beta = measures.expression_for(model, wanted)
    rest = measures.measure(model, torch.zeros(64), tuple(wanted))
    got = measures.measure(model, beta, tuple(wanted)) - rest
    np.testing.assert_allclose(got.numpy(), list(wanted.values()), atol=2e-3)
    linear = measures.measure(model, measures.expression_for(model, wanted, rounds=1), tuple(wanted)) - rest
    np.testing.assert_allclose(linear.numpy(), list(wanted.values()), rtol=0.25)
    absolute = measures.expression_for(model, {"mouth_opening": 0.0}, relative=False)
    assert float(measures.measure(model, absolute, ("mouth_opening",))) == pytest.approx(0, abs=2e-3)


def test_expression_for_is_the_shortest_of_all_solutions(model):
    names = ("mouth_opening",)
    beta = measures.expression_for(model, {"mouth_opening": 0.1}, rounds=1)
    jacobian = measures.measure_jacobian(model, names)
    other = beta + torch.randn(64, generator=torch.Generator().manual_seed(2))
    other = other - torch.linalg.pinv(jacobian) @ (jacobian @ (other - beta))
    assert float(jacobian @ other) == pytest.approx(float(jacobian @ beta), abs=1e-4)
    assert beta.norm() < other.norm()


def test_unknown_measures_are_named(model):
    with pytest.raises(ValueError, match="mouth_openness"):
        measures.expression_for(model, {"mouth_openness": 1.0})
    with pytest.raises(ValueError, match="two coordinates"):
        measures.lip_protrusion(torch.zeros(68, 2))
