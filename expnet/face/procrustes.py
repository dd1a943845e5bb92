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
        # row vectors: (R^T v)^T = v^T R
        turned = (points - self.offset[:, None]) @ self.rotation  # (T, V, 3)
        turned /= self.scale[:, None, None]
        return turned


def procrustes(points: Array, template: Array, weights: Array) -> Similarity:
    """Find the similarity that carries the template onto each frame's points, by weighted least squares.

    Minimises sum w |p - s R template - o|^2 (Kabsch 1976, Umeyama 1991). What is left over in template space is
    orthogonal, under the weights, to the template's own shifts, turns and change of scale.

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
    still = template - template_centre[:, None]
    energy = np.square(still).sum(axis=-1) @ weights
    scale = np.maximum(singular.sum(axis=1), 1e-12) / energy
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
