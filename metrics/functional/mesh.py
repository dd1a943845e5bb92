"""Errors of animated 3D meshes: lip vertex error and upper-face dynamics deviation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from expnet.metrics.functional.masking import frame_weights, masked_mean, masked_std

VARIANTS = ("squared", "root")


def check_vertices(predicted: Tensor, target: Tensor, chosen: Tensor) -> None:
    """Raise ValueError unless both are (..., T, V, 3) of the same shape and all chosen vertices exist."""
    if predicted.shape != target.shape or predicted.ndim < 3 or predicted.shape[-1] != 3:
        raise ValueError(
            f"vertices must be (..., T, V, 3) of the same shape, got {tuple(predicted.shape)} and {tuple(target.shape)}"
        )
    if chosen.numel() == 0 or int(chosen.min()) < 0 or int(chosen.max()) >= predicted.shape[-2]:
        raise ValueError(f"the chosen vertices must be one or more of the mesh's {predicted.shape[-2]} vertices")


def lip_vertex_error(
    predicted: Tensor, target: Tensor, lips: Tensor, *, variant: str = "squared", valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return the error of the worst lip vertex of each frame, averaged over frames.

    .. math:: \mathrm{LVE} = \frac{1}{T} \sum_t \max_{v \in \mathrm{lips}} \lVert p_{tv} - q_{tv} \rVert_2^{2}

    The exponent 2 belongs to ``squared`` (CodeTalker's ``cal_metric.py`` and torchmetrics); ``root`` leaves it out
    (FaceFormer's "maximal L2 error"). ARTalk reports a third variant, the root of the mean of the squares.

    Args:
        predicted: Vertices (..., T, V, 3) in the mesh's unit of length.
        target: Vertices of the same shape.
        lips: Vertex indices, (N,). Published values differ mostly because these differ.
        variant: ``squared`` or ``root``.
        valid: Frames to use, (..., T) boolean.

    Returns:
        The error, (...) float64 in squared units of length (``squared``) or units of length (``root``), NaN without a
        valid frame; and the number of valid frames, (...). With this number as weight, the mean over clips pools all
        frames, as the sources do. Lower is better.

    Raises:
        ValueError: The variant, the shapes or the indices are wrong.

    Example:
        >>> target = torch.zeros(2, 5, 3)
        >>> error, frames = lip_vertex_error(target + 2.0, target, torch.tensor([1, 3]))
        >>> float(error), float(frames)
        (12.0, 2.0)
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    check_vertices(predicted, target, lips)
    difference = predicted[..., lips, :].double() - target[..., lips, :].double()  # (..., T, N, 3)
    worst = difference.square().sum(-1).amax(-1)  # (..., T)
    weights = frame_weights(valid, worst)
    return masked_mean(worst.sqrt() if variant == "root" else worst, weights), weights.sum(-1)


def dynamics(vertices: Tensor, template: Tensor, chosen: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Return the standard deviation over time of the squared displacement from rest, averaged over the vertices.

    Args:
        vertices: (..., T, V, 3) in the mesh's unit of length.
        template: The face at rest, (V, 3) or (..., V, 3).
        chosen: Vertex indices, (N,).
        valid: Frames to use, (..., T) boolean.

    Returns:
        (...) float64 in squared units of length.
    """
    rest = template[..., chosen, :].double().unsqueeze(-3)  # (..., 1, N, 3)
    squared = (vertices[..., chosen, :].double() - rest).square().sum(-1).transpose(-1, -2)  # (..., N, T)
    weights = frame_weights(valid, squared[..., 0, :]).unsqueeze(-2).expand(squared.shape)
    return masked_std(squared, weights).mean(-1)


def upper_face_dynamics_deviation(
    predicted: Tensor, target: Tensor, template: Tensor, upper_face: Tensor, *, valid: Tensor | None = None
) -> Tensor:
    r"""Return the dynamics of the real upper face minus those of the predicted one (CodeTalker's FDD, signed).

    .. math:: \mathrm{FDD} = \frac{1}{N} \sum_v \left[ \operatorname{std}_t \lVert q_{tv} - r_v \rVert^2
              - \operatorname{std}_t \lVert p_{tv} - r_v \rVert^2 \right]

    with real vertices q, predicted vertices p and the face at rest r.

    Args:
        predicted: Vertices (..., T, V, 3) in the mesh's unit of length.
        target: Vertices of the same shape.
        template: The face at rest, (V, 3) or (..., V, 3).
        upper_face: Vertex indices, (N,).
        valid: Frames to use, (..., T) boolean.

    Returns:
        (...) float64 in squared units of length. Positive values mean that the prediction moves too little, negative
        ones that it moves too much; 0 is ideal.

    Raises:
        ValueError: The shapes or the indices are wrong.
    """
    check_vertices(predicted, target, upper_face)
    if template.shape[-2:] != predicted.shape[-2:]:
        raise ValueError(f"the template must be {tuple(predicted.shape[-2:])}, got {tuple(template.shape)}")
    real = dynamics(target, template, upper_face, valid=valid)
    return real - dynamics(predicted, template, upper_face, valid=valid)


def index_tensor(indices: Sequence[int] | Tensor) -> Tensor:
    """Return vertex indices as int64, sorted and without duplicates, so that equal sets have equal tensors."""
    return torch.unique(torch.as_tensor(indices, dtype=torch.int64))
