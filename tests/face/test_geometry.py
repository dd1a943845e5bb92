"""Rotation, camera and alignment: signs checked by hand, values against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from expnet.face.camera import DISTANCE, FOCAL, Crop, project, project_depth
from expnet.face.procrustes import procrustes, remove_similarity, similarity_generators
from expnet.face.rotation import euler_to_matrix, matrix_to_euler
from expnet.face.template import mirror_permutation

NOSE = torch.tensor([0.0, 0.0, 1.0])
TOP = torch.tensor([0.0, 1.0, 0.0])


def turn(pitch=0.0, yaw=0.0, roll=0.0):
    return euler_to_matrix(torch.tensor([pitch, yaw, roll]))


def test_signs_by_hand():
    assert (turn(yaw=0.3) @ NOSE)[0] == pytest.approx(math.sin(0.3))  # turned to the image's right
    assert (turn(pitch=0.3) @ NOSE)[1] == pytest.approx(-math.sin(0.3))  # nodding down
    assert (turn(roll=0.3) @ TOP)[0] == pytest.approx(-math.sin(0.3))  # top of the head to the image's left


def test_matrix_equals_scipy_and_converts_back():
    angles = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2.8 - 1.4
    matrix = euler_to_matrix(angles)
    wanted = Rotation.from_euler("xyz", angles.numpy()).as_matrix()  # extrinsic x, y, z: Rz @ Ry @ Rx
    np.testing.assert_allclose(matrix.numpy(), wanted, atol=1e-12)
    torch.testing.assert_close(matrix_to_euler(matrix), angles)


def test_projection_by_hand():
    crop = Crop(centre_x=100.0, centre_y=50.0, side=200.0)
    vertices = torch.tensor([[0.1, 0.2, 0.3]])
    scale = 200 * FOCAL / (DISTANCE - 1.0)
    pixels = project_depth(vertices, torch.zeros(3), torch.tensor([0.05, -0.1, 1.0]), crop)
    expected = [[100 + scale * 0.15, 50 - scale * 0.1, scale * 0.3]]
    np.testing.assert_allclose(pixels.numpy(), expected, rtol=1e-5)
    many = project(
        vertices.expand(4, 1, 3),
        torch.zeros(4, 3),
        torch.tensor([[0.05, -0.1, 1.0]] * 4),
        crop.tensor().expand(4, 3),
    )
    np.testing.assert_allclose(many.numpy(), np.broadcast_to(np.array(expected)[:, :2], (4, 1, 2)), rtol=1e-5)


def test_procrustes_recovers_a_similarity_and_leaves_an_orthogonal_residual():
    generator = np.random.default_rng(0)
    template = generator.normal(size=(30, 3))
    rotation = Rotation.random(6, random_state=1).as_matrix()
    scale, offset = generator.uniform(1, 9, 6), generator.normal(size=(6, 3))
    weights = generator.random(30)
    points = scale[:, None, None] * template @ rotation.transpose(0, 2, 1) + offset[:, None]
    found = procrustes(points, template, weights)
    np.testing.assert_allclose(found.scale, scale)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-10)
    np.testing.assert_allclose(found.offset, offset, atol=1e-10)
    noisy = points + generator.normal(size=points.shape)
    left_over = procrustes(noisy, template, weights).undo(noisy) - template
    generators = similarity_generators(template)
    np.testing.assert_allclose(np.einsum("v,tvc,vcg->tg", weights, left_over, generators), 0, atol=1e-9)


def test_procrustes_never_mirrors():
    template = np.random.default_rng(0).normal(size=(20, 3))
    found = procrustes((template * [-1, 1, 1])[None], template, np.ones(20))
    assert np.linalg.det(found.rotation[0]) == pytest.approx(1.0)


def test_a_basis_without_similarities_does_not_move_the_pose():
    generator = np.random.default_rng(0)
    template, weights = generator.normal(size=(40, 3)), generator.random(40)
    raw = generator.normal(size=(40, 3, 5)) * 0.1
    clean = remove_similarity(raw, template, weights)
    beta = generator.normal(size=5)
    assert np.abs(procrustes((template + raw @ beta)[None], template, weights).rotation - np.eye(3)).max() > 1e-3
    found = procrustes((template + clean @ beta)[None], template, weights)
    np.testing.assert_allclose(found.rotation[0], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(found.offset, 0, atol=1e-9)


def test_mirror_permutation():
    half = np.random.default_rng(0).uniform(0.2, 1, (10, 3))
    points = np.concatenate([half, half * [-1, 1, 1], [[0, 0.5, 0.1], [0, -0.5, 0.3]]])
    order = np.r_[10:20, 0:10, 20, 21]
    np.testing.assert_array_equal(mirror_permutation(points, pairs={0: 10, 1: 11, 2: 12}), order)
