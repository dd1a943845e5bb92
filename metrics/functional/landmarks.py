"""Landmark distance (F-LMD, M-LMD) under a named normalisation.

Papers print one name for at least four numbers: pixels or inter-ocular units, with or without removing the
translation of each frame, Euclidean or absolute differences. Here the normalisation is an argument with a name, and
the name travels with the score.
"""

import torch
from torch import Tensor

from expnet.metrics.functional.masking import frame_weights, masked_mean

LANDMARKS = 68
MOUTH = slice(48, 68)
"""Outer and inner lips of the iBUG order: the point set of M-LMD."""
OUTER_EYE_CORNERS = (36, 45)
NORMALISATIONS = ("pixels_256", "interocular", "centred", "centred_scaled")
REGIONS = ("face", "mouth")


def check_landmarks(predicted: Tensor, target: Tensor) -> None:
    """Raise ValueError unless both are (..., T, 68, 2 or more) of one shape."""
    for name, points in (("predicted", predicted), ("target", target)):
        if points.ndim < 3 or points.shape[-2] != LANDMARKS or points.shape[-1] < 2:
            raise ValueError(f"{name} landmarks must be (..., T, {LANDMARKS}, D >= 2), got {tuple(points.shape)}")
    if predicted.shape != target.shape:
        raise ValueError(f"landmarks differ in shape: {tuple(predicted.shape)} and {tuple(target.shape)}")


def interocular_distance(points: Tensor) -> Tensor:
    """Distance between the outer eye corners (36 and 45), (..., T), in the unit of the points."""
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
    r"""Mean Euclidean distance between corresponding landmarks, a clip at a time.

    .. math:: \mathrm{LMD} = \frac{1}{T} \sum_t \frac{1}{L} \sum_l \lVert f(p_{tl}) - f(q_{tl}) \rVert_2

    with f chosen by ``normalisation``; image plane only (x and y):

    - ``pixels_256``: coordinates scaled from a crop of ``crop_size`` pixels to one of 256. Nothing is removed.
    - ``interocular``: coordinates divided by the target's outer-eye-corner distance, averaged over the clip.
    - ``centred``: as ``pixels_256``, with the mean of the *measured point set* of each frame removed from both sides
      (68 points for the face, 20 for the mouth). This is EAT's and ER-NeRF's M/F-LMD: it does not see where the face
      is, nor, for the mouth, where the mouth sits on the face.
    - ``centred_scaled``: centred, then each frame's set divided by its own root-mean-square radius.

    Args:
        predicted: (..., T, 68, D) in the iBUG order, D at least 2.
        target: the same shape.
        valid: (..., T) boolean, frames to count.
        region: ``face`` (68 points, F-LMD) or ``mouth`` (points 48-67, M-LMD).
        normalisation: one of ``NORMALISATIONS``.
        crop_size: side in pixels of the crop that the coordinates refer to.

    Returns:
        (...) float64: pixels at 256, or inter-ocular distances, or root-mean-square radii. 0 is best. NaN for a clip
        without a valid frame.

    Example:
        >>> points = torch.rand(4, 68, 2, dtype=torch.float64)
        >>> round(float(landmark_distance(points, points + 3.0, normalisation="pixels_256")), 6)
        4.242641
        >>> round(float(landmark_distance(points, points + 3.0, normalisation="centred")), 6)  # a shift is not seen
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
    """Remove the mean of each frame's point set."""
    return points - points.mean(-2, keepdim=True)


def _unit_radius(points: Tensor) -> Tensor:
    """Divide each frame's centred set by its root-mean-square radius."""
    radius = points.square().sum(-1).mean(-1).sqrt()[..., None, None]
    return points / radius.clamp(min=torch.finfo(torch.float64).tiny)
