"""The directions of expression that move the lips most and the rest of the face least."""

import torch
from torch import Tensor

from expnet.face.landmarks import MOUTH
from expnet.face.morphable import MorphableModel

DIRECTIONS = 10
"""The ten strongest directions hold what articulation does: opening, rounding, stretching, and the lips one by one."""


def lip_projection(face: MorphableModel, directions: int = DIRECTIONS) -> Tensor:
    """Return the projection (E, E) of expression changes, as rows, on the directions that move the lips.

    A direction d moves the lip landmarks by ``d^T A d`` and the whole face by ``d^T G d``, with G the expression
    metric. The directions are the generalised eigenvectors of A and G with the largest eigenvalues, and the projection
    is orthogonal in G: what it takes from a change and what it leaves move the face independently of each other.

    Args:
        face: The face model.
        directions: Number of directions; all of them where the model has fewer coefficients.

    Returns:
        (E, E) P with ``P P = P``; ``change @ P`` is the part of changes (..., E) that moves the lips.
    """
    metric = face.expression_metric.double()
    size = len(metric)
    identity = torch.zeros(size, face.identity_basis.shape[-1])
    rest, moved = (face.landmarks(identity, scale * torch.eye(size)) for scale in (0, 1))
    lips = (moved - rest)[:, list(MOUTH)].flatten(1).double()  # (E, 60)
    # Coefficients that move nothing would make the metric singular.
    root = torch.linalg.cholesky(metric + 1e-9 * metric.diagonal().mean() * torch.eye(size))
    white = torch.linalg.solve_triangular(root, lips, upper=False)
    chosen = torch.linalg.eigh(white @ white.T).eigenvectors[:, -directions:]  # (E, D), ascending
    # Rows change @ root have the length of the metric: project them there, and go back.
    return torch.linalg.solve_triangular(root, root @ chosen @ chosen.T, upper=False, left=False).float()
