"""Weighted similarity alignment of many point sets at once (Procrustes)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Similarity:
    """points = scale * rotation @ template + offset, one per frame.

    Attributes:
        scale: (T,) positive.
        rotation: (T, 3, 3), determinant +1.
        offset: (T, 3).
    """

    scale: Array
    rotation: Array
    offset: Array

    def undo(self, points: Array) -> Array:
        """Bring (T, V, 3) points back to the frame of the template."""
        centred = (points - self.offset[:, None]) / self.scale[:, None, None]
        return centred @ self.rotation  # row vectors: (R^T v)^T = v^T R


def procrustes(points: Array, template: Array, weights: Array) -> Similarity:
    """Find the similarity that carries the template onto each frame's points, least squares in template space.

    Rotation after Kabsch. The scale is the one whose inverse minimises the error in the template's units
    (sum w |R^T (p - o) / s - template|^2), so that what is left over is orthogonal to a change of scale of the
    template, as it is to its shifts and turns.

    Args:
        points: (T, V, 3).
        template: (V, 3), or (T, V, 3) for one a frame.
        weights: (V,) non-negative.

    Returns:
        The T similarities.
    """
    weights = weights / weights.sum()
    template = np.broadcast_to(template, points.shape)
    points_centre, template_centre = weights @ points, weights @ template  # (T, 3)
    moved = points - points_centre[:, None]
    heavy = (moved * weights[:, None]).transpose(0, 2, 1)  # (T, 3, V)
    # the template's centre drops out, since the weighted mean of the moved points is zero
    covariance = heavy @ template  # (T, 3, 3)
    left, singular, right = np.linalg.svd(covariance)
    sign = np.sign(np.linalg.det(left @ right))
    left[:, :, 2] *= sign[:, None]
    singular[:, 2] *= sign
    rotation = left @ right  # (T, 3, 3)
    # 1/s = <R^T p, template> / <p, p>: the projection of the template on the turned points
    energy = (heavy @ moved).trace(axis1=1, axis2=2)
    scale = energy / np.maximum(singular.sum(axis=1), 1e-12)
    offset = points_centre - scale[:, None] * (rotation @ template_centre[:, :, None])[:, :, 0]
    return Similarity(scale=scale, rotation=rotation, offset=offset)


def similarity_generators(template: Array) -> Array:
    """Infinitesimal shifts, turns and scale of a template: seven columns, (V, 3, 7)."""
    vertices = template.shape[0]
    generators = np.zeros((vertices, 3, 7))
    generators[:, :, :3] = np.eye(3)
    for axis in range(3):
        generators[:, :, 3 + axis] = np.cross(np.eye(3)[axis], template)
    generators[:, :, 6] = template
    return generators


def remove_similarity(basis: Array, template: Array, weights: Array) -> Array:
    """Make each column of a (V, 3, E) basis orthogonal, under the weights, to the template's similarities.

    Pose and expression then do not compete: the weighted Procrustes pose of ``template + basis @ beta`` is exactly
    the identity for any beta short of turning the face over.
    """
    generators = similarity_generators(template).reshape(-1, 7)
    heavy = generators * np.repeat(weights, 3)[:, None]
    flat = basis.reshape(-1, basis.shape[-1])
    flat = flat - generators @ np.linalg.solve(generators.T @ heavy, heavy.T @ flat)
    return flat.reshape(basis.shape)
