"""Normalises an average face: mirror symmetric, looking straight ahead, in face units."""

import numpy as np
from numpy.typing import NDArray

from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE, LEFT_EYE, RIGHT_EYE
from expnet.face.procrustes import Array, procrustes

EYE_DISTANCE = 0.62
"""Distance between the eye centres of the mean face in face units, as in Deep3DFaceRecon's lm3D_std."""


def mirror_permutation(points: Array, *, pairs: dict[int, int]) -> NDArray[np.int64]:
    """Find the mirror vertex of each vertex on a nearly symmetric face.

    Args:
        points: (V, 3) average frontal face.
        pairs: A few known pairs, from which the mirror plane is found.

    Returns:
        (V,) an involution: ``permutation[permutation] == arange(V)``.

    Raises:
        ValueError: The nearest mirror images do not pair up one to one.
    """
    from scipy.optimize import linear_sum_assignment

    one, other = np.array(list(pairs)), np.array(list(pairs.values()))
    flipped = points * [-1.0, 1.0, 1.0]
    carry = procrustes(points[np.r_[one, other]][None], flipped[np.r_[other, one]], np.ones(2 * len(one)))
    image = carry.scale[0] * flipped @ carry.rotation[0].T + carry.offset[0]
    cost = ((image[:, None] - points[None]) ** 2).sum(axis=-1)  # (V, V)
    permutation = linear_sum_assignment(cost + cost.T)[1]
    if not np.array_equal(permutation[permutation], np.arange(len(points))):
        raise ValueError("the mirror images of the vertices do not pair up: the face is not symmetric enough")
    return permutation


def mirror_of(mean: Array) -> NDArray[np.int64]:
    """Return the mirror permutation of the MediaPipe mesh, from an average face."""
    marks = np.array(LANDMARKS_68_FROM_MEDIAPIPE)
    right, left = marks[list(RIGHT_EYE)], marks[list(LEFT_EYE)]
    # iBUG numbers one eye from the outer to the inner corner and the other from the inner to the outer corner.
    order = [3, 2, 1, 0, 5, 4]
    pairs = dict(zip(right.tolist(), left[order].tolist(), strict=True))
    return mirror_permutation(mean, pairs=pairs | {61: 291, 234: 454, 127: 356})


def symmetric(mean: Array) -> Array:
    """Average a face with its mirror image, and rotate it to look straight ahead."""
    permutation = mirror_of(mean)
    flipped = mean[permutation] * [-1.0, 1.0, 1.0]
    half = procrustes(flipped[None], mean, np.ones(len(mean)))
    flipped = half.undo(flipped[None])[0]
    middle = (mean + flipped) / 2
    # The points are symmetric, but their mirror plane need not be x = 0 yet: rotate it there.
    across = (middle[permutation] - middle)[middle[:, 0] < middle[permutation][:, 0]].sum(axis=0)
    across /= np.linalg.norm(across)
    up = np.cross([0.0, 0.0, 1.0], across)
    up /= np.linalg.norm(up)
    turned = middle @ np.stack([across, up, np.cross(across, up)], axis=1)
    turned -= turned.mean(axis=0)
    return (turned + turned[permutation] * [-1.0, 1.0, 1.0]) / 2


def normalise(mean: Array) -> Array:
    """Scale a face to EYE_DISTANCE between the eye centres and centre its vertices on the origin."""
    marks = mean[list(LANDMARKS_68_FROM_MEDIAPIPE)]
    between = marks[list(RIGHT_EYE)].mean(axis=0) - marks[list(LEFT_EYE)].mean(axis=0)
    return (mean - mean.mean(axis=0)) * (EYE_DISTANCE / np.linalg.norm(between))


def look_ahead(mean: Array, seen: Array, rigidity: Array) -> Array:
    """Rotate a symmetric face about the x axis until it looks straight ahead.

    The shape alone does not define that direction. People mostly look at the camera, so the median pitch of the
    observed faces is taken as zero.
    """
    rotation = procrustes(seen, mean, rigidity).rotation
    pitch = np.median(np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2]))
    sine, cosine = np.sin(pitch), np.cos(pitch)
    return mean @ np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]]).T
