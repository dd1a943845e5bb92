"""Learns a linear face model from tracked clips: the statistics behind ``mediapipe468.safetensors``.

The steps, on points of the MediaPipe mesh in any scale and pose:

1. Each frame is aligned with its clip's average face by a weighted similarity. Points that move little within a clip
   (forehead, nose, temples) have the largest weights; weights and alignment are found together.
2. Expression: principal components of (frame - clip average), with mirrored copies, higher weights for lips and eyes,
   and frames weighted so that no person dominates; whitened, so that each coefficient has unit variance.
3. Identity: principal components of people's average faces, in which whatever an expression could explain is reduced:
   a person who smiles all the time does not have a smiling face shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from expnet.face.landmarks import EYE_POINTS, LIP_POINTS, MESH_POINTS
from expnet.face.procrustes import Array, procrustes, remove_similarity
from expnet.face.template import look_ahead, mirror_of, normalise, symmetric

FRAME_CAP = 400.0
"""A person's frames count as at most this many (16 s)."""

IDENTITY_SHARE = 0.25
"""Share of a person's lasting difference along an expression that counts as identity; see `learn_identity`."""

LIP_WEIGHT, EYE_WEIGHT = 2.0, 2.0
"""Weight of the squared error of a lip or eyelid point, relative to a cheek point."""


@dataclass(frozen=True)
class TrackedClip:
    """Points of one clip, and the person in it.

    Attributes:
        name: Name of the clip.
        person: Name of the person.
        points: (T, V, 3) in camera axes (x right, y up, z toward the viewer), only frames in which a face was found.
    """

    name: str
    person: str
    points: Array


@dataclass(frozen=True)
class LinearFace:
    """A learned linear model; see the attributes of ``expnet.face.morphable.MorphableModel``."""

    mean: Array
    identity_basis: Array
    expression_basis: Array
    rigidity: Array
    vertex_weight: Array
    noise: float
    identity_noise: float
    people: int
    frames: int


def camera_axes(points: NDArray[np.floating]) -> Array:
    """Convert tracker pixels (x right, y down, z away) of the face mesh to camera axes (x right, y up, z near)."""
    return points[..., :MESH_POINTS, :].astype(np.float64) * [1.0, -1.0, -1.0]


def fit_weights() -> Array:
    """Weights of the squared errors per vertex, mean 1, with more weight on lips and eyelids."""
    weights = np.ones(MESH_POINTS)
    weights[list(LIP_POINTS)] = LIP_WEIGHT
    weights[list(EYE_POINTS)] = EYE_WEIGHT
    return weights / weights.mean()


def align_clip(points: Array, template: Array, rigidity: Array, *, rounds: int = 3) -> Array:
    """Align a clip's frames with their own average, and that average with the template.

    Args:
        points: (T, V, 3) Points of the frames.
        template: (V, 3) Template in face units.
        rigidity: (V,) Weights of the alignment.
        rounds: How often the average is recomputed.

    Returns:
        (T, V, 3) in face units.
    """
    aligned = procrustes(points, template, rigidity).undo(points)
    for _ in range(rounds):
        average = aligned.mean(axis=0)
        average = procrustes(average[None], template, rigidity).undo(average[None])[0]
        aligned = procrustes(points, average, rigidity).undo(points)
    return aligned


def steady_frames(aligned: Array, *, limit: float = 4.0, floor: float = 0.03) -> NDArray[np.bool_]:
    """Find frames whose distance from the clip's median face does not indicate a tracking failure.

    Args:
        aligned: (T, V, 3) in face units.
        limit: Multiple of the median distance that still counts as motion.
        floor: Distance (rms, face units) that always counts as motion, since a still face may open its mouth wide once.

    Returns:
        (T,) True where the frame is kept.
    """
    distance = np.sqrt(((aligned - np.median(aligned, axis=0)) ** 2).mean(axis=(1, 2)))
    return distance <= limit * np.median(distance) + floor


def frame_weights(clips: Sequence[TrackedClip], lengths: Sequence[int]) -> list[float]:
    """Weight of one frame of each clip, such that each person counts as at most `FRAME_CAP` frames."""
    total: dict[str, int] = {}
    for clip, length in zip(clips, lengths, strict=True):
        total[clip.person] = total.get(clip.person, 0) + length
    return [min(total[clip.person], FRAME_CAP) / total[clip.person] for clip in clips]


def learn_template(clips: Sequence[TrackedClip], *, rounds: int = 4) -> tuple[Array, Array]:
    """Average face in face units, and the rigidity of each vertex, from every fifth frame.

    Returns:
        Mean (V, 3), symmetric, with the origin at the mean of its vertices; rigidity (V,), mean 1.
    """
    rigidity = np.ones(MESH_POINTS)
    mean = clips[0].points.mean(axis=0)
    weights = frame_weights(clips, [len(clip.points) for clip in clips])
    for _ in range(rounds):
        averages, variances, counts = [], [], []
        for clip, weight in zip(clips, weights, strict=True):
            aligned = align_clip(clip.points[::5], mean, rigidity, rounds=1)
            aligned = aligned[steady_frames(aligned)]
            averages.append(aligned.mean(axis=0))
            variances.append(aligned.var(axis=0).sum(axis=-1))
            counts.append(weight * len(aligned))
        mean = normalise(symmetric(np.average(averages, axis=0, weights=counts)))
        variance = np.average(variances, axis=0, weights=counts)
        variance = (variance + variance[mirror_of(mean)]) / 2
        rigidity = 1.0 / (variance + np.quantile(variance, 0.25))
        rigidity /= rigidity.mean()
    return look_ahead(mean, averages_in_camera(clips), rigidity), rigidity


def averages_in_camera(clips: Sequence[TrackedClip]) -> Array:
    """Middle frame of each clip in camera axes, (C, V, 3)."""
    return np.stack([clip.points[len(clip.points) // 2] for clip in clips])


def principal_components(covariance: Array, weights: Array, count: int) -> Array:
    """Whitened principal components of a (3V, 3V) covariance in the metric of the vertex weights: (3V, count).

    Column k is sqrt(variance_k) times a direction of unit length in that metric, largest variance first.
    """
    root = np.sqrt(np.repeat(weights, 3))
    values, vectors = np.linalg.eigh(covariance * root[:, None] * root[None])
    order = np.argsort(values)[::-1][:count]
    basis = vectors[:, order] * np.sqrt(np.maximum(values[order], 0)) / root[:, None]
    # The sign of a component is arbitrary; a fixed asymmetric direction determines it. The largest entry would not: an
    # antisymmetric component has two, of opposite sign.
    return basis * np.where(np.cos(np.arange(len(basis)) ** 1.5) @ basis < 0, -1.0, 1.0)


def mirrored_covariance(samples: Array, permutation: NDArray[np.int64], weight: NDArray | float) -> Array:
    """Sum of weighted outer products of samples (N, V, 3) and of their mirror images, halved: (3V, 3V)."""
    scaled = samples * np.sqrt(np.broadcast_to(weight, len(samples)))[:, None, None]
    flipped = scaled[:, permutation] * [-1.0, 1.0, 1.0]
    one, other = scaled.reshape(len(samples), -1), flipped.reshape(len(samples), -1)
    return (one.T @ one + other.T @ other) / 2


def learn_face(clips: Sequence[TrackedClip], *, identity: int = 40, expression: int = 64) -> LinearFace:
    """Learn the linear face model from clips of many people.

    Args:
        clips: Tracked clips; clips of one person have the same ``person``.
        identity: Number of identity components, at most twice the number of people.
        expression: Number of expression components.

    Returns:
        The model, in face units.
    """
    mean, rigidity = learn_template(clips)
    permutation = mirror_of(mean)
    covariance = np.zeros((3 * MESH_POINTS, 3 * MESH_POINTS))
    total, frames = 0.0, 0
    averages: dict[str, list[tuple[Array, int]]] = {}
    weights = frame_weights(clips, [len(clip.points) for clip in clips])
    for clip, weight in zip(clips, weights, strict=True):
        aligned = align_clip(clip.points, mean, rigidity)
        aligned = aligned[steady_frames(aligned)]
        average = aligned.mean(axis=0)
        covariance += mirrored_covariance(aligned - average, permutation, weight)
        total += weight * len(aligned)
        frames += len(aligned)
        averages.setdefault(clip.person, []).append((average, len(aligned)))
    covariance /= total
    vertex_weight = fit_weights()
    basis = principal_components(covariance, vertex_weight, expression).reshape(MESH_POINTS, 3, -1)
    left_over = np.trace(covariance) - (basis**2).sum()
    people = np.stack(
        [np.average([a for a, _ in v], axis=0, weights=[n for _, n in v]) for v in averages.values()]
    )  # (P, V, 3)
    people = np.concatenate([people, people[:, permutation] * [-1.0, 1.0, 1.0]])
    mean = normalise(people.mean(axis=0))
    people = procrustes(people, mean, rigidity).undo(people) - mean
    basis = remove_similarity(basis, mean, rigidity)
    identity_basis = learn_identity(people, basis, vertex_weight, count=identity)
    return LinearFace(
        mean=mean,
        identity_basis=remove_similarity(identity_basis, mean, rigidity),
        expression_basis=basis,
        rigidity=rigidity,
        vertex_weight=vertex_weight,
        noise=float(np.sqrt(max(left_over, 0.0) / (3 * MESH_POINTS))),
        identity_noise=identity_misfit(people, basis, vertex_weight, count=identity),
        people=len(averages),
        frames=frames,
    )


def learn_identity(people: Array, expression_basis: Array, weights: Array, *, count: int) -> Array:
    """Identity components of people's average faces, with the part that an expression could explain reduced.

    On the MediaPipe mesh, 99 % of the variance between people lies in the span of the 64 expression components, so no
    subspace separates the two; only priors do. With the full variance in that span, two thirds of a single frame's
    expression would be attributed to identity. `IDENTITY_SHARE` reduces that to a tenth; in exchange, most of what
    makes a face wide or its lips full becomes a lasting offset of the expression.

    Args:
        people: (P, V, 3) Average faces minus the mean.
        expression_basis: (V, 3, E) Whitened expression components.
        weights: (V,) Metric of the components.
        count: Number of components.

    Returns:
        (V, 3, count), whitened.
    """
    root = np.sqrt(np.repeat(weights, 3))
    flat = people.reshape(len(people), -1) * root  # (P, 3V)
    span = np.linalg.qr(expression_basis.reshape(flat.shape[1], -1) * root[:, None])[0]  # (3V, E)
    inside = flat @ span @ span.T
    shape = (flat - inside + IDENTITY_SHARE * inside) / root
    covariance = shape.T @ shape / len(shape)
    return principal_components(covariance, weights, count).reshape(*people.shape[1:], -1)


def identity_misfit(people: Array, expression_basis: Array, weights: Array, *, count: int, folds: int = 4) -> float:
    """Residual of identity and expression together on the average faces of left-out people: rms in face units.

    Args:
        people: (2P, V, 3) Average faces minus the mean, then their mirror images in the same order.
        expression_basis: (V, 3, E) Expression components.
        weights: (V,) Metric of the components.
        count: Number of identity components.
        folds: Number of folds of people.
    """
    person = np.arange(len(people)) % (len(people) // 2)
    expression = expression_basis.reshape(-1, expression_basis.shape[-1])
    missed = []
    for fold in range(folds):
        out = person % folds == fold
        shape = learn_identity(people[~out], expression_basis, weights, count=count)
        both = np.concatenate([shape.reshape(len(expression), -1), expression], axis=1)
        flat = people[out].reshape(out.sum(), -1)
        missed.append(flat - flat @ np.linalg.pinv(both).T @ both.T)
    return float(np.sqrt((np.concatenate(missed) ** 2).mean()))


def keep_signs(face: LinearFace, identity_basis: Array, expression_basis: Array) -> LinearFace:
    """Give each component the sign that it has in an earlier model, so that coefficients keep their meaning."""
    signs = [
        np.where(np.einsum("vck,vck->k", new, old.astype(np.float64)) < 0, -1.0, 1.0)
        for new, old in ((face.identity_basis, identity_basis), (face.expression_basis, expression_basis))
    ]
    return replace(
        face,
        identity_basis=face.identity_basis * signs[0],
        expression_basis=face.expression_basis * signs[1],
    )
