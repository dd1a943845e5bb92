"""Learning a face model: known components are recovered for any pose and scale of the clips."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.morphable import builtin_face_model
from expnet.face.rotation import euler_to_matrix
from learned_face.learning import (
    TrackedClip,
    align_clip,
    frame_weights,
    keep_signs,
    learn_face,
    principal_components,
    steady_frames,
)
from learned_face.topology import mesh_triangles

COMPONENTS = 5


def make_clip(person, seed, frames=40):
    """A person of the built-in model's first components, turned, shifted and scaled."""
    generator = torch.Generator().manual_seed(seed)
    model = builtin_face_model()
    alpha, beta = torch.zeros(model.identity_size), torch.zeros(frames, 64)
    alpha[:4] = torch.randn(4, generator=torch.Generator().manual_seed(1000 + person))
    beta[:, :COMPONENTS] = torch.randn(frames, COMPONENTS, generator=generator)
    rotation = euler_to_matrix(0.15 * torch.randn(frames, 3, generator=generator))
    vertices = model.vertices(alpha, beta) @ rotation.transpose(1, 2)
    points = 90 * (1 + 0.1 * torch.rand(frames, 1, 1, generator=generator)) * vertices + 200
    return TrackedClip(f"clip{seed}", f"person{person}", points.double().numpy())


@pytest.fixture(scope="module")
def learnt():
    return learn_face([make_clip(person, person) for person in range(6)], identity=8, expression=12)


def test_the_motion_of_somebody_else_is_spanned(learnt):
    clip = make_clip(person=77, seed=77)
    aligned = align_clip(clip.points, learnt.mean, learnt.rigidity)
    motion = (aligned - aligned.mean(axis=0)).reshape(len(aligned), -1)
    basis = learnt.expression_basis.reshape(motion.shape[1], -1)
    left_over = motion - motion @ np.linalg.pinv(basis).T @ basis.T
    assert (left_over**2).sum() < 0.01 * (motion**2).sum()
    assert (learnt.people, learnt.frames) == (6, 240)


def test_the_mean_is_in_its_standard_form(learnt):
    marks = learnt.mean[list(LANDMARKS_68_FROM_MEDIAPIPE)]
    assert np.linalg.norm(marks[36:42].mean(axis=0) - marks[42:48].mean(axis=0)) == pytest.approx(0.62, abs=1e-6)
    np.testing.assert_allclose(learnt.mean.mean(axis=0), 0, atol=1e-9)
    assert abs(marks[[27, 28, 29, 30, 8], 0]).max() < 0.005


def test_the_triangles_are_those_of_the_topology(learnt):
    pytest.importorskip("mediapipe", reason="the triangles come from mediapipe's list of edges, which is missing")
    np.testing.assert_array_equal(mesh_triangles(learnt.mean), builtin_face_model().triangles.numpy())


def test_expression_is_whitened(learnt):
    variances = []
    for person in range(6):
        aligned = align_clip(make_clip(person, person).points, learnt.mean, learnt.rigidity)
        motion = aligned - aligned.mean(axis=0)
        root = np.sqrt(np.repeat(learnt.vertex_weight, 3))
        basis = learnt.expression_basis[..., :COMPONENTS].reshape(len(root), -1) * root[:, None]
        variances.append(np.var((motion.reshape(len(motion), -1) * root) @ np.linalg.pinv(basis).T, axis=0))
    # Components of equal variance may rotate among themselves, and clips differ.
    assert np.mean(variances) == pytest.approx(1.0, rel=0.1)


def test_signs_do_not_hang_on_rounding(learnt):
    generator = np.random.default_rng(0)
    odd = np.zeros((468, 3, 1))
    odd[0, 0], odd[1, 0] = 1.0, -1.0  # a component with two largest entries of opposite sign
    for _ in range(5):
        noisy = (odd + 1e-9 * generator.normal(size=odd.shape)).reshape(-1, 1)
        component = principal_components(noisy @ noisy.T, np.ones(468), 1)
        assert component[0, 0] > 0 or component[3, 0] > 0
        assert np.sign(component[0, 0]) == np.sign(np.cos(0.0) - np.cos(3.0**1.5))


def test_keep_signs(learnt):
    flips = np.where(np.arange(12) % 2, -1.0, 1.0)
    turned = replace(learnt, expression_basis=learnt.expression_basis * flips)
    kept = keep_signs(turned, learnt.identity_basis, learnt.expression_basis)
    np.testing.assert_array_equal(kept.expression_basis, learnt.expression_basis)


def test_nobody_dominates():
    clips = [TrackedClip("a", "one", np.zeros((1, 1, 3))), TrackedClip("b", "one", np.zeros((1, 1, 3)))]
    clips.append(TrackedClip("c", "two", np.zeros((1, 1, 3))))
    weights = frame_weights(clips, [1000, 3000, 100])
    assert weights == [0.1, 0.1, 1.0]


def test_slips_of_the_tracker_are_dropped():
    aligned = np.random.default_rng(0).normal(0, 0.005, (30, 468, 3))
    aligned[7] += 0.2 * np.random.default_rng(1).normal(size=(468, 3))
    assert np.flatnonzero(~steady_frames(aligned)).tolist() == [7]
