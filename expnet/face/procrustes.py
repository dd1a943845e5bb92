"""Weighted similarity alignment of many point sets at once (Procrustes)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Similarity:
    """One similarity per frame: points = scale * rotation @ template + offset.

    Attributes:
        scale: (T,), positive.
        rotation: (T, 3, 3), with determinant +1.
        offset: (T, 3).
    """

    scale: Array
    rotation: Array
    offset: Array

    def undo(self, points: Array) -> Array:
        """Transform points (T, V, 3) back to the coordinates of the template."""
        # Row vectors: (R^T v)^T = v^T R.
        turned = (points - self.offset[:, None]) @ self.rotation  # (T, V, 3)
        turned /= self.scale[:, None, None]
        return turned


def procrustes(points: Array, template: Array, weights: Array) -> Similarity:
    """Align the template with each frame's points by a similarity, in the weighted least-squares sense.

    Minimises sum w |p - s R template - o|^2 (Kabsch 1976, Umeyama 1991). The residual in template space is orthogonal,
    under the weights, to translations, rotations and scalings of the template.

    Args:
        points: (T, V, 3).
        template: (V, 3), or (T, V, 3) with one template per frame.
        weights: (V,), non-negative.

    Returns:
        T similarities.
    """
    weights = weights / weights.sum()
    template = np.broadcast_to(template, points.shape)
    points_centre, template_centre = weights @ points, weights @ template  # (T, 3)
    centred = points - points_centre[:, None]
    weighted = (centred * weights[:, None]).transpose(0, 2, 1)  # (T, 3, V)
    # The template need not be centred, since the weighted mean of the centred points is zero.
    covariance = weighted @ template  # (T, 3, 3)
    left, singular, right = np.linalg.svd(covariance)
    sign = np.sign(np.linalg.det(left @ right))
    left[:, :, 2] *= sign[:, None]
    singular[:, 2] *= sign
    rotation = left @ right  # (T, 3, 3)
    centred_template = template - template_centre[:, None]
    energy = np.square(centred_template).sum(axis=-1) @ weights
    scale = np.maximum(singular.sum(axis=1), 1e-12) / energy
    offset = points_centre - scale[:, None] * (rotation @ template_centre[:, :, None])[:, :, 0]
    return Similarity(scale=scale, rotation=rotation, offset=offset)


def similarity_generators(template: Array) -> Array:
    """Return the infinitesimal translations, rotations and scaling of a template as seven columns, (V, 3, 7)."""
    vertices = template.shape[0]
    generators = np.zeros((vertices, 3, 7))
    generators[:, :, :3] = np.eye(3)
    for axis in range(3):
        generators[:, :, 3 + axis] = np.cross(np.eye(3)[axis], template)
    generators[:, :, 6] = template
    return generators


def remove_similarity(basis: Array, template: Array, weights: Array) -> Array:
    """Make each column of a basis (V, 3, E) orthogonal, under the weights, to the template's similarities.

    Pose and expression then do not compete: the weighted Procrustes pose of ``template + basis @ beta`` is exactly
    the identity unless beta is so large that it turns the face over.
    """
    generators = similarity_generators(template).reshape(-1, 7)
    weighted = generators * np.repeat(weights, 3)[:, None]
    flat = basis.reshape(-1, basis.shape[-1])
    flat = flat - generators @ np.linalg.solve(generators.T @ weighted, weighted.T @ flat)
    return flat.reshape(basis.shape)
