"""The built-in face model file, and the class."""

import numpy as np
import pytest
import torch

from expnet.face import landmarks as marks
from expnet.face.morphable import BUILTIN_PATH, builtin_face_model, load_face_model


@pytest.fixture(scope="module")
def model():
    return builtin_face_model()


def test_shapes_units_and_size(model):
    assert model is load_face_model()
    assert model.name == "mediapipe468"
    assert model.mean.shape == (468, 3)
    assert model.expression_basis.shape == (468, 3, 64)
    assert model.identity_size == 40
    assert model.triangles.shape == (852, 3)
    assert model.triangles.dtype == torch.int64
    assert BUILTIN_PATH.stat().st_size < 1_000_000
    points = model.mean[model.landmark_indices]
    eyes = points[list(marks.RIGHT_EYE)].mean(0) - points[list(marks.LEFT_EYE)].mean(0)
    assert float(eyes.norm()) == pytest.approx(0.62, abs=1e-4)
    torch.testing.assert_close(model.mean.mean(0), torch.zeros(3), atol=1e-5, rtol=0)


def test_axes(model):
    points = model.mean[model.landmark_indices]
    assert points[36, 0] < -0.3 < 0.3 < points[45, 0]  # the subject's right eye on the image's left
    assert points[27, 1] > points[8, 1] + 0.8  # the nose's root above the chin
    assert points[30, 2] > points[[0, 16], 2].max() + 0.5  # the nose in front of the ears
    assert abs(float(points[[27, 28, 29, 30, 8], 0].mean())) < 1e-3  # symmetric


def test_triangles_face_the_viewer_and_leave_eyes_and_mouth_open(model):
    first, second, third = model.mean[model.triangles].unbind(1)
    assert (torch.linalg.cross(second - first, third - first)[:, 2] > 0).float().mean() > 0.95
    edges = torch.cat([model.triangles[:, [0, 1]], model.triangles[:, [1, 2]], model.triangles[:, [2, 0]]])
    _, uses = torch.unique(edges.sort(dim=1).values, dim=0, return_counts=True)
    border = int((uses == 1).sum())
    loops = (marks.FACE_OVAL, marks.INNER_LIP_LOOP, marks.RIGHT_EYE_LOOP, marks.LEFT_EYE_LOOP)
    assert uses.max() == 2
    assert len(torch.unique(edges, dim=0)) == len(edges)  # all wound alike: no edge runs the same way twice
    assert border == sum(len(loop) for loop in loops)


def test_no_component_moves_the_head(model):
    from expnet.face.procrustes import similarity_generators

    generators = torch.tensor(similarity_generators(model.mean.double().numpy()))
    for basis in (model.expression_basis, model.identity_basis):
        heavy = model.rigidity.double()[:, None, None] * generators
        overlap = torch.einsum("vcg,vce->ge", heavy, basis.double())
        assert overlap.abs().max() < 1e-3 * torch.einsum("vcg,vce->ge", heavy.abs(), basis.double().abs()).max()


def test_landmarks_are_rows_of_vertices(model):
    generator = torch.Generator().manual_seed(0)
    alpha = torch.randn(model.identity_size, generator=generator)
    beta = torch.randn(2, 5, 64, generator=generator)
    vertices = model.vertices(alpha, beta)
    assert vertices.shape == (2, 5, 468, 3)
    torch.testing.assert_close(model.landmarks(alpha, beta), vertices[..., model.landmark_indices, :])
    by_hand = model.mean + model.identity_basis @ alpha + model.expression_basis @ beta[1, 2]
    torch.testing.assert_close(vertices[1, 2], by_hand, atol=1e-5, rtol=0)


def test_expression_metric_is_the_mean_squared_shift(model):
    change = torch.randn(64, generator=torch.Generator().manual_seed(1))
    shift = (model.expression_basis @ change).square().sum(-1).mean()
    assert float(change @ model.expression_metric @ change) == pytest.approx(float(shift), rel=1e-4)


def test_a_network_that_holds_the_model_does_not_save_it(model):
    assert not model.state_dict()
    assert not list(model.parameters())


def test_landmark_groups_cover_the_68():
    groups = (marks.JAW, marks.BROWS, marks.NOSE, marks.EYES, marks.MOUTH)
    assert sorted(index for group in groups for index in group) == list(range(68))
    assert len(set(marks.LANDMARKS_68_FROM_MEDIAPIPE)) == 68
    points = builtin_face_model().mean.numpy()
    for loop in (marks.INNER_LIP_LOOP, marks.OUTER_LIP_LOOP, marks.FACE_OVAL, marks.RIGHT_EYE_LOOP):
        step = np.linalg.norm(points[list(loop)] - points[list(loop[1:] + loop[:1])], axis=1)
        size = np.ptp(points[list(loop)], axis=0).max()
        assert step.max() < 0.35 * size  # neighbours in the loop are neighbours on the face
