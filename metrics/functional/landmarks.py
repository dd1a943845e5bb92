"""Landmark distance (F-LMD, M-LMD) under a named normalisation.

Papers use one name for at least four numbers: in pixels or inter-ocular units, with or without removing the translation
of each frame, with Euclidean or absolute differences. Here the normalisation is a named argument, and the name is part
of the metric's protocol.
"""

import torch
from torch import Tensor

from expnet.metrics.functional.masking import frame_weights, masked_mean

LANDMARKS = 68
MOUTH = slice(48, 68)
"""Outer and inner lips in iBUG order, the points of M-LMD."""
OUTER_EYE_CORNERS = (36, 45)
NORMALISATIONS = ("pixels_256", "interocular", "centred", "centred_scaled")
REGIONS = ("face", "mouth")


def check_landmarks(predicted: Tensor, target: Tensor) -> None:
    """Raise ValueError unless both are (..., T, 68, 2 or more) and of the same shape."""
    for name, points in (("predicted", predicted), ("target", target)):
        if points.ndim < 3 or points.shape[-2] != LANDMARKS or points.shape[-1] < 2:
            raise ValueError(f"{name} landmarks must be (..., T, {LANDMARKS}, D >= 2), got {tuple(points.shape)}")
    if predicted.shape != target.shape:
        raise ValueError(f"landmarks differ in shape: {tuple(predicted.shape)} and {tuple(target.shape)}")


def interocular_distance(points: Tensor) -> Tensor:
    """Return the distance between the outer eye corners (36 and 45), (..., T), in the unit of the points."""
    return (points[..., OUTER_EYE_CORNERS[0], :] - points[..., OUTER_EYE_CORNERS[1], :]).norm(dim=-1)


def landmark_distance(
    predicted: Tensor,
    target: Tensor,
    *,
    valid: Tensor | None = None,
    region: str = "face",
    normalisation: str = "centred",
    crop_size: float = 256.0,
) -> Tensor:
    r"""Return the mean Euclidean distance between corresponding landmarks of each clip.

    .. math:: \mathrm{LMD} = \frac{1}{T} \sum_t \frac{1}{L} \sum_l \lVert f(p_{tl}) - f(q_{tl}) \rVert_2

    where ``normalisation`` selects f. Only x and y are used:

    - ``pixels_256``: coordinates are scaled from a crop of ``crop_size`` pixels to one of 256. Unit: pixels of a
      256-pixel crop.
    - ``interocular``: coordinates are divided by the target's distance between the outer eye corners, averaged over the
      clip. Unit: inter-ocular distances.
    - ``centred``: as ``pixels_256``, with the mean of the *measured point set* of each frame removed on both sides (68
      points for the face, 20 for the mouth). Unit: pixels of a 256-pixel crop. This is the M/F-LMD of EAT and ER-NeRF;
      it does not see the position of the face or, for the mouth, the position of the mouth on the face.
    - ``centred_scaled``: centred, then divided by the root-mean-square radius of the point set in each frame. Unit:
      root-mean-square radii.

    Args:
        predicted: iBUG landmarks, (..., T, 68, D), D at least 2, in pixels of the crop.
        target: Landmarks of the same shape.
        valid: Frames to use, (..., T) boolean.
        region: ``face`` (68 points, F-LMD) or ``mouth`` (points 48-67, M-LMD).
        normalisation: One of ``NORMALISATIONS``.
        crop_size: Side in pixels of the crop that the coordinates refer to.

    Returns:
        (...) float64 in the unit of the normalisation, at least 0, lower is better. NaN for a clip without a valid
        frame.

    Raises:
        ValueError: Shapes, region or normalisation are wrong.

    Example:
        >>> points = torch.rand(4, 68, 2, dtype=torch.float64)
        >>> round(float(landmark_distance(points, points + 3.0, normalisation="pixels_256")), 6)
        4.242641
        >>> round(float(landmark_distance(points, points + 3.0, normalisation="centred")), 6)  # translation is removed
        0.0
    """
    check_landmarks(predicted, target)
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"normalisation must be one of {', '.join(NORMALISATIONS)}, got {normalisation!r}")
    if region not in REGIONS:
        raise ValueError(f"region must be one of {', '.join(REGIONS)}, got {region!r}")
    target_eyes = interocular_distance(target[..., :2].double())  # (..., T)
    weights = frame_weights(valid, target_eyes)
    chosen = MOUTH if region == "mouth" else slice(None)
    first = predicted[..., chosen, :2].double()  # (..., T, L, 2)
    second = target[..., chosen, :2].double()
    if normalisation == "interocular":
        unit = masked_mean(target_eyes, weights)[..., None, None, None]
        first, second = first / unit, second / unit
    elif normalisation == "centred_scaled":
        first, second = _unit_radius(_centred(first)), _unit_radius(_centred(second))
    else:
        if normalisation == "centred":
            first, second = _centred(first), _centred(second)
        first, second = first * (256.0 / crop_size), second * (256.0 / crop_size)
    per_frame = (first - second).norm(dim=-1).mean(-1)  # (..., T)
    return masked_mean(per_frame, weights)


def _centred(points: Tensor) -> Tensor:
    """Subtract the mean of each frame's point set."""
    return points - points.mean(-2, keepdim=True)


def _unit_radius(points: Tensor) -> Tensor:
    """Divide each frame's centred point set by its root-mean-square radius."""
    radius = points.square().sum(-1).mean(-1).sqrt()[..., None, None]
    return points / radius.clamp(min=torch.finfo(torch.float64).tiny)
