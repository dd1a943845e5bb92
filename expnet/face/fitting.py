"""Fits a linear face model to tracked points: pose, identity and expression of a whole clip, in closed form.

The model is mean + A alpha + B beta with the priors alpha, beta ~ N(0, I). Each round has three steps:

1. Pose: a weighted similarity aligns each frame with the person's neutral face (Procrustes). The bases are orthogonal
   to similarities under the same weights, so pose and expression do not compete and two or three rounds suffice.
2. Identity: the average of the aligned frames is split between alpha and the average expression by their priors
   (:func:`split_identity`). The split does not depend on the number of frames; a single frame is its own average.
3. Expression: the deviation of each frame from the average is solved for under the prior, all frames at once.

A round costs one singular value decomposition of a 3x3 matrix per frame and one product (T, 3P) @ (3P, E), some
hundredths of a millisecond per frame.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.coefficients import DEFAULT_FPS, FaceCoefficients
from expnet.errors import InputError
from expnet.face.camera import DISTANCE, FOCAL, project_depth
from expnet.face.landmarks import MEDIAPIPE_POINTS
from expnet.face.lost_frames import fill_lost_frames
from expnet.face.morphable import MorphableModel
from expnet.face.procrustes import Array, Similarity, procrustes
from expnet.face.rotation import matrix_to_euler

ROUNDS = 2
"""Rounds of pose, identity and expression before the final pose; a third makes no visible difference."""

WORKING = np.float32
"""Type of the per-frame arrays, for half the memory traffic; the gains are solved in float64."""


@dataclass(frozen=True)
class _Solver:
    """The constant parts of the two linear solves, for one model and one pair of noise levels."""

    mean: Array  # (P, 3)
    identity: Array  # (3P, K)
    expression: Array  # (3P, E)
    identity_gain: Array  # (K, 3P), average face to alpha
    average_gain: Array  # (E, 3P), average face to average beta
    expression_gain: Array  # (E, 3P), deviation from the average face to the change of beta

    def face(self, alpha: Array, beta: Array) -> Array:
        """Return the fitted points (N, P, 3) for an identity (K,) and expressions (N, E)."""
        neutral = self.mean.ravel() + self.identity @ alpha
        vertices = beta @ self.expression.T
        vertices += neutral
        return vertices.reshape(len(beta), -1, 3)


def _as_array(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().double().numpy()


def split_identity(identity: Array, expression: Array, weights: Array, noise: float) -> tuple[Array, Array]:
    """Return the gains that map an average face to its most probable identity and average expression.

    They minimise |d - A alpha - B beta|_W^2 / noise^2 + |alpha|^2 + |beta|^2: the identity is eliminated by the Schur
    complement of its block, the expression solved for, and the identity substituted back.

    Args:
        identity: A, (N, K).
        expression: B, (N, E).
        weights: Diagonal of W, (N,).
        noise: Standard deviation of the error.

    Returns:
        G_alpha (K, N) and G_beta (E, N) with alpha = G_alpha d and beta = G_beta d.
    """
    precision = weights / noise**2
    identity_block = identity.T @ (precision[:, None] * identity) + np.eye(identity.shape[1])  # (K, K)
    cross = identity.T @ (precision[:, None] * expression)  # (K, E)
    expression_block = expression.T @ (precision[:, None] * expression) + np.eye(expression.shape[1])
    back = np.linalg.solve(identity_block, cross)  # (K, E)
    schur = expression_block - cross.T @ back  # (E, E)
    right_identity, right_expression = identity.T * precision, expression.T * precision
    beta = np.linalg.solve(schur, right_expression - back.T @ right_identity)  # (E, N)
    alpha = np.linalg.solve(identity_block, right_identity) - back @ beta  # (K, N)
    return alpha, beta


_SOLVERS: WeakKeyDictionary[MorphableModel, dict[tuple[float, float], _Solver]] = WeakKeyDictionary()


def _solver(model: MorphableModel, noise: float, identity_noise: float) -> _Solver:
    cache = _SOLVERS.setdefault(model, {})
    if (noise, identity_noise) not in cache:
        rows = model.fit_vertices
        identity = _as_array(model.identity_basis[rows].flatten(0, 1))
        expression = _as_array(model.expression_basis[rows].flatten(0, 1))
        weights = np.outer(_as_array(model.fit_weights), [1.0, 1.0, model.depth_weight]).ravel()
        alpha, beta = split_identity(identity, expression, weights, identity_noise)
        precision = expression.T * (weights / noise**2)
        change = np.linalg.solve(precision @ expression + np.eye(expression.shape[1]), precision)
        parts = (_as_array(model.mean[rows]), identity, expression, alpha, beta, change)
        cache[noise, identity_noise] = _Solver(*(part.astype(WORKING) for part in parts))
    return cache[noise, identity_noise]


def fit_clip(
    model: MorphableModel,
    points: NDArray[np.floating],
    found: NDArray[np.bool_] | None = None,
    *,
    noise: float | None = None,
    identity_noise: float | None = None,
    fps: float = DEFAULT_FPS,
) -> FaceCoefficients:
    """Fit every frame of a clip, with one identity for all.

    The crop is chosen such that the translation averages zero over the clip (a single frame has translation zero).
    Frames without a face get coefficients interpolated between their neighbours, or those of the nearest found frame
    at the ends.

    Args:
        model: The face model.
        points: (T, 478, 3) tracked points, x and y in pixels and z in the same scale, as in ``LandmarkTrack``.
        found: (T,) frames in which a face was found; None for all.
        noise: RMS error of the expression basis for a frame, in face units; None for the model's own. Smaller values
            follow the points more closely.
        identity_noise: RMS error of the model for a person's average face, in face units; None for the model's own.
        fps: Frame rate of the points.

    Returns:
        Expression (T, 64), rotation, translation, identity (K,) and crop (3,). :func:`fit_residual` measures the fit.

    Raises:
        InputError: No frame has a face, the shape is wrong, or points of found frames are not finite.
    """
    points = np.asarray(points, dtype=WORKING)
    kept = _check(points, found)
    solver = _solver(
        model,
        model.noise if noise is None else noise,
        model.identity_noise if identity_noise is None else identity_noise,
    )
    observed = points[kept][:, model.fit_points.numpy()]  # (N, P, 3)
    observed *= np.array([1.0, -1.0, -1.0], dtype=WORKING)  # camera axes
    frames = len(observed)
    rigidity = model.rigidity.numpy().astype(WORKING)
    alpha = np.zeros(solver.identity.shape[1], dtype=WORKING)
    beta = np.zeros((frames, solver.expression.shape[1]), dtype=WORKING)
    for _ in range(ROUNDS):
        pose = procrustes(observed, solver.face(alpha, beta), rigidity)
        deviation = pose.undo(observed)
        deviation -= solver.mean
        deviation = deviation.reshape(frames, -1)  # (N, 3P)
        average = deviation.mean(axis=0)
        deviation -= average
        alpha = solver.identity_gain @ average
        beta = solver.average_gain @ average + deviation @ solver.expression_gain.T  # (N, E)
    # The final pose, for the final expression.
    rotation, translation, crop = _camera(procrustes(observed, solver.face(alpha, beta), rigidity))
    return FaceCoefficients(
        expression=fill_lost_frames(beta, kept),
        rotation=fill_lost_frames(np.unwrap(rotation, axis=0), kept),
        translation=fill_lost_frames(translation, kept),
        identity=alpha,
        crop=crop,
        fps=fps,
        face_model=model.name,
    )


def _check(points: Array, found: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    if points.ndim != 3 or points.shape[1:] != (MEDIAPIPE_POINTS, 3):
        raise InputError(f"tracked points have shape {points.shape}, expected (frames, {MEDIAPIPE_POINTS}, 3)")
    kept = np.ones(len(points), dtype=bool) if found is None else np.asarray(found, dtype=bool)
    if kept.shape != (len(points),):
        raise InputError(f"found has shape {kept.shape}, expected ({len(points)},): one flag per frame")
    if not kept.any():
        raise InputError(f"no face was found in any of {len(points)} frames, expected at least one")
    if not np.isfinite(points[kept]).all():
        raise InputError("tracked points of a found frame are not finite, expected pixels")
    return kept


def _camera(pose: Similarity) -> tuple[Array, Array, Array]:
    """Return rotation angles (N, 3), translation (N, 3) with average zero, and crop (3,) of the similarities."""
    inverse = 1.0 / pose.scale.astype(np.float64)  # face units per pixel
    side = DISTANCE / (FOCAL * inverse.mean())
    centre = (pose.offset[:, :2] * inverse[:, None]).sum(axis=0) / inverse.sum()
    shift = (pose.offset[:, :2] - centre) * inverse[:, None]
    depth = DISTANCE - side * FOCAL * inverse
    rotation = matrix_to_euler(torch.from_numpy(pose.rotation.astype(np.float64))).numpy()
    return rotation, np.c_[shift, depth], np.array([centre[0], -centre[1], side])


def fit_residual(
    model: MorphableModel,
    coefficients: FaceCoefficients,
    points: NDArray[np.floating],
    found: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Measure the distance of the fitted model from the tracked points.

    Args:
        model: The face model.
        coefficients: The result of :func:`fit_clip` for these points.
        points: (T, 478, 3).
        found: (T,) frames in which a face was found; None for all.

    Returns:
        (T,) root mean square over the fitted points and the axes x and y, in face units (the eye centres are 0.62
        apart); NaN where no face was found.
    """
    if coefficients.identity is None or coefficients.crop is None:
        raise ValueError("the coefficients have no identity or no crop, so they cannot be projected")
    with torch.no_grad():
        vertices = model.vertices(torch.from_numpy(coefficients.identity), torch.from_numpy(coefficients.expression))[
            :, model.fit_vertices
        ]
        pixels = project_depth(
            vertices.double(),
            torch.from_numpy(coefficients.rotation).double(),
            torch.from_numpy(coefficients.translation).double(),
            torch.from_numpy(coefficients.crop).double(),
        ).numpy()  # (T, P, 3)
    tracked = np.asarray(points, dtype=np.float64)[:, model.fit_points.numpy()]
    scale = coefficients.crop[..., 2] * FOCAL / (DISTANCE - coefficients.translation[:, 2])
    residual = np.sqrt(((pixels - tracked)[..., :2] ** 2).mean(axis=(1, 2))) / scale
    if found is not None:
        residual = np.where(found, residual, np.nan)
    return residual
