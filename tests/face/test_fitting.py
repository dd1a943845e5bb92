"""Fitting: exact on the model's own faces, equal to slow least squares, the same for one frame and for many."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from expnet.errors import InputError
from expnet.face.camera import project_depth
from expnet.face.fitting import fit_clip, fit_residual, split_identity
from expnet.face.landmarks import MEDIAPIPE_POINTS
from expnet.face.morphable import builtin_face_model

EXACT = {"noise": 1e-6, "identity_noise": 1e-6}


def synthesise(frames=12, seed=0, identity_scale=0.3, turn=0.3):
    """Tracker points of the built-in model with known coefficients."""
    generator = torch.Generator().manual_seed(seed)
    model = builtin_face_model()
    alpha = identity_scale * torch.randn(model.identity_size, generator=generator, dtype=torch.float64)
    beta = 0.5 * torch.randn(frames, 64, generator=generator, dtype=torch.float64)
    rotation = turn * torch.randn(frames, 3, generator=generator, dtype=torch.float64)
    translation = 0.1 * torch.randn(frames, 3, generator=generator, dtype=torch.float64)
    translation -= translation.mean(dim=0)
    crop = torch.tensor([130.0, 120.0, 256.0], dtype=torch.float64)
    double = copy.deepcopy(model).double()
    pixels = project_depth(double.vertices(alpha, beta), rotation, translation, crop).numpy()
    points = np.zeros((frames, MEDIAPIPE_POINTS, 3))
    points[:, :468] = pixels * [1, 1, -1]
    return (
        model,
        points,
        {"identity": alpha, "expression": beta, "rotation": rotation, "translation": translation},
    )


def shape(model, coefficients):
    alpha = torch.tensor(np.asarray(coefficients["identity"]), dtype=torch.float32)
    beta = torch.tensor(np.asarray(coefficients["expression"]), dtype=torch.float32)
    return model.vertices(alpha, beta).numpy()


def test_pose_and_face_of_the_models_own_points_are_recovered():
    model, points, truth = synthesise()
    fitted = fit_clip(model, points, **EXACT)
    np.testing.assert_allclose(fitted.rotation, truth["rotation"], atol=2e-3)
    np.testing.assert_allclose(fitted.crop, [130, 120, 256], rtol=5e-3)
    np.testing.assert_allclose(fitted.translation, truth["translation"], atol=5e-3)
    np.testing.assert_allclose(shape(model, vars(fitted)), shape(model, truth), atol=3e-3)
    assert fit_residual(model, fitted, points).max() < 3e-4


def test_expression_changes_are_exact_for_the_mean_identity():
    model, points, truth = synthesise(identity_scale=0.0)
    fitted = fit_clip(model, points, **EXACT)
    np.testing.assert_allclose(fitted.rotation, truth["rotation"], atol=1e-4)
    wanted = truth["expression"] - truth["expression"].mean(dim=0)
    found = fitted.expression - fitted.expression.mean(axis=0)
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_the_fit_equals_that_of_a_slow_optimiser():
    model, points, _ = synthesise(frames=1, seed=3, identity_scale=0.0)
    points[:, :468] += np.random.default_rng(0).normal(0, 0.3, (1, 468, 3))
    small = copy.deepcopy(model)
    small.expression_basis = small.expression_basis[..., :6]
    small.identity_basis = small.identity_basis[..., :3]
    noise = 0.004
    # one frame: the closed form minimises |W^1/2 (aligned - model)|^2 / noise^2 + |alpha|^2 + |beta|^2 over the face,
    # and the rigidity-weighted error over the pose
    observed = points[0, :468] * [1, -1, -1]
    mean, a, b = (t.double().numpy() for t in (small.mean, small.identity_basis, small.expression_basis))
    root = np.sqrt(small.fit_weights.double().numpy())[:, None] / noise
    rigid = np.sqrt(small.rigidity.double().numpy())[:, None]
    pose, face = np.r_[0, 0, 0, 1 / 116, observed.mean(axis=0)], np.zeros(9)

    def aligned(pose):
        return 100 * pose[3] * (observed - pose[4:]) @ Rotation.from_rotvec(pose[:3]).as_matrix()

    pose[3] /= 100
    for _ in range(12):
        target = mean + a @ face[:3] + b @ face[3:]
        pose = least_squares(lambda p, t=target: (rigid * (aligned(p) - t)).ravel(), pose, x_scale="jac").x
        face = least_squares(
            lambda f, p=pose: np.r_[(root * (aligned(p) - mean - a @ f[:3] - b @ f[3:])).ravel(), f], face
        ).x

    class Small(type(model)):
        identity_size, expression_size = 3, 6

    gains = split_identity(a.reshape(-1, 3), b.reshape(-1, 6), np.repeat(small.fit_weights.double().numpy(), 3), noise)
    departure = (aligned(pose) - mean).ravel()
    np.testing.assert_allclose(np.r_[gains[0] @ departure, gains[1] @ departure], face, atol=1e-4)
    small.expression_basis = torch.cat([small.expression_basis, torch.zeros(468, 3, 58)], dim=-1)
    fitted = fit_clip(small, points, noise=noise, identity_noise=noise)
    np.testing.assert_allclose(fitted.expression[0, :6], face[3:], atol=0.02)
    np.testing.assert_allclose(fitted.identity, face[:3], atol=0.02)
    np.testing.assert_allclose(Rotation.from_euler("xyz", fitted.rotation[0]).as_rotvec(), pose[:3], atol=2e-3)


def test_schur_elimination_is_the_full_solve():
    generator = np.random.default_rng(0)
    a, b, weights = generator.normal(size=(50, 4)), generator.normal(size=(50, 7)), generator.random(50)
    alpha, beta = split_identity(a, b, weights, 0.3)
    both = np.concatenate([a, b], axis=1)
    data = generator.normal(size=50)
    stacked = np.concatenate([both * np.sqrt(weights)[:, None] / 0.3, np.eye(11)])
    slow = np.linalg.lstsq(stacked, np.r_[data * np.sqrt(weights) / 0.3, np.zeros(11)], rcond=None)[0]
    np.testing.assert_allclose(np.r_[alpha @ data, beta @ data], slow, atol=1e-10)


def test_a_clip_of_one_frame_repeated_is_that_frame():
    model, points, _ = synthesise(frames=1)
    one, many = fit_clip(model, points), fit_clip(model, np.repeat(points, 9, axis=0))
    np.testing.assert_allclose(many.identity, one.identity, atol=1e-3)
    np.testing.assert_allclose(many.expression, np.repeat(one.expression, 9, axis=0), atol=1e-3)
    np.testing.assert_allclose(one.translation, 0, atol=1e-6)


def test_single_frames_agree_with_their_clip():
    model, points, truth = synthesise(frames=30, identity_scale=1.0, turn=0.1)
    clip = fit_clip(model, points)
    single = np.concatenate([fit_clip(model, points[i : i + 1]).expression for i in range(30)])
    metric = model.expression_metric.numpy()
    error = np.einsum("ti,ij,tj->t", single - clip.expression, metric, single - clip.expression).mean()
    change = clip.expression - clip.expression.mean(axis=0)
    motion = np.einsum("ti,ij,tj->t", change, metric, change).mean()
    assert error < 0.15 * motion
    # and the identity takes little of the expression's motion
    assert np.var(shape(model, truth) - shape(model, vars(clip))) < 1e-4


@pytest.mark.parametrize(("axis", "sign"), [(0, 1), (1, 1), (2, 1)])
def test_pose_signs_from_pixels(axis, sign):
    """Turn the tracked points of the mean face by hand, in pixels with y down and z away from the camera."""
    model = builtin_face_model()
    x, y, z = (model.mean.numpy() * [1, -1, -1]).T * 100
    angle = 0.2
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = {
        0: (
            x,
            y * cosine - z * sine,
            z * cosine + y * sine,
        ),  # nodding down: the nose (z < 0) moves to larger y
        1: (
            x * cosine - z * sine,
            y,
            z * cosine + x * sine,
        ),  # to the image's right: the nose moves to larger x
        2: (x * cosine + y * sine, y * cosine - x * sine, z),  # the top (y < 0) moves to smaller x
    }[axis]
    points = np.zeros((1, MEDIAPIPE_POINTS, 3))
    points[0, :468] = np.stack(turned, axis=1) + 128
    fitted = fit_clip(model, points)
    expected = np.zeros(3)
    expected[axis] = sign * angle
    np.testing.assert_allclose(fitted.rotation[0], expected, atol=1e-3)


def test_missing_frames_are_interpolated():
    model, points, _ = synthesise(frames=10)
    found = np.ones(10, dtype=bool)
    found[[0, 4, 5]] = False
    broken = points.copy()
    broken[~found] = np.nan
    fitted, kept = fit_clip(model, broken, found), fit_clip(model, points[found])
    np.testing.assert_allclose(fitted.expression[found], kept.expression, atol=1e-5)
    between = fitted.expression[3] + (fitted.expression[6] - fitted.expression[3]) * np.array([[1], [2]]) / 3
    np.testing.assert_allclose(fitted.expression[4:6], between, atol=1e-5)
    np.testing.assert_allclose(fitted.rotation[0], fitted.rotation[1])
    residual = fit_residual(model, fitted, broken, found)
    assert np.isnan(residual[~found]).all()
    assert np.isfinite(residual[found]).all()


def test_translation_averages_zero_and_near_is_positive():
    model, points, _ = synthesise(frames=6)
    points[3, :, :] = (points[3] - 100) * 1.2 + 100
    fitted = fit_clip(model, points)
    np.testing.assert_allclose(fitted.translation.mean(axis=0), 0, atol=1e-5)
    assert fitted.translation[3, 2] == fitted.translation[:, 2].max()


def test_bad_input_is_refused_in_one_sentence():
    model, points, _ = synthesise(frames=3)
    with pytest.raises(InputError, match="shape"):
        fit_clip(model, points[:, :468])
    with pytest.raises(InputError, match="no face was found"):
        fit_clip(model, points, np.zeros(3, dtype=bool))
    with pytest.raises(InputError, match="one flag per frame"):
        fit_clip(model, points, np.ones(4, dtype=bool))
    points[1, 5] = np.nan
    with pytest.raises(InputError, match="not finite"):
        fit_clip(model, points)
