r"""Windows of motion as feature vectors, with which sets of real and generated motion are compared.

A region of the face is described by three fixed measures, so nothing is learned and no training set decides what is
seen. A window of one second keeps the first ten coefficients of the orthonormal discrete cosine transform (DCT-II) of
each measure, which are its mean and its frequencies up to 4.5 Hz:

.. math:: c_{mk} = \sqrt{\frac{2 - \delta_{k0}}{W}} \sum_{t=0}^{W-1} (x_{mt} - \bar x_m)
          \cos \frac{\pi (2 t + 1) k}{2 W}

with the mean :math:`\bar x_m` over the whole clip: what is compared is motion, neither identity nor how the portrait
was taken. Windows do not overlap, because overlapping ones would be counted as independent and are nearly copies.
"""

import math

import torch
from torch import Tensor

from expnet.metrics.functional.landmarks import interocular_distance
from expnet.metrics.functional.masking import frame_weights, masked_centre
from expnet.metrics.functional.mouth import mouth_opening

WINDOW_REGIONS = ("lips", "upper_face", "head")
WINDOW_FRAMES = 25
"""Frames of a window, one second."""
WINDOW_MEASURES = 3
WINDOW_COEFFICIENTS = 10
"""DCT coefficients that are kept of each measure. Their frequencies end at 4.5 Hz: beyond, trackers add more noise than
faces move."""
WINDOW_FEATURES = WINDOW_MEASURES * WINDOW_COEFFICIENTS
DEGREES = 180.0 / math.pi


def lip_measures(landmarks: Tensor) -> Tensor:
    """Return mouth opening (62-66), mouth width (48-54), and the distance of the mouth corners from the nose (33).

    Args:
        landmarks: iBUG landmarks, (..., T, 68, D). With D = 3 the measures do not depend on the head pose.

    Returns:
        (..., T, 3) float64 in distances between the outer eye corners of the same frame.
    """
    points, unit = landmarks.double(), interocular_distance(landmarks.double())
    corners = (_distance(points, 48, 33) + _distance(points, 54, 33)) / 2
    return torch.stack([mouth_opening(points), _distance(points, 48, 54) / unit, corners / unit], -1)


def upper_face_measures(landmarks: Tensor) -> Tensor:
    """Return the gap of the eyelids, and the heights of inner and outer brows over the eye corners, means of both eyes.

    Args:
        landmarks: iBUG landmarks, (..., T, 68, D). With D = 3 the measures do not depend on the head pose.

    Returns:
        (..., T, 3) float64 in distances between the outer eye corners of the same frame.
    """
    points, unit = landmarks.double(), interocular_distance(landmarks.double())
    pairs = (((37, 41), (38, 40), (43, 47), (44, 46)), ((20, 39), (21, 39), (22, 42), (23, 42)), ((18, 36), (25, 45)))
    means = [torch.stack([_distance(points, *pair) for pair in chosen]).mean(0) / unit for chosen in pairs]
    return torch.stack(means, -1)


def head_measures(rotation: Tensor) -> Tensor:
    """Return pitch, yaw and roll (..., T, 3) in degrees, float64, from radians."""
    return rotation.double() * DEGREES


def region_measures(motion: Tensor, region: str) -> Tensor:
    """Return the three measures of a region, (..., T, 3) float64.

    Args:
        motion: Landmarks (..., T, 68, D) for lips and upper face, rotations (..., T, 3) in radians for the head.
        region: One of `WINDOW_REGIONS`.

    Raises:
        ValueError: ``region`` is unknown.
    """
    if region not in WINDOW_REGIONS:
        raise ValueError(f"region must be one of {', '.join(WINDOW_REGIONS)}, got {region!r}")
    return {"lips": lip_measures, "upper_face": upper_face_measures, "head": head_measures}[region](motion)


def motion_windows(measures: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Cut the measures of one clip into windows and return their DCT coefficients (formula in the module docstring).

    Windows start at frame 0, W, 2 W, ...; a window with an invalid frame, and the rest at the end, are left out.

    Args:
        measures: Measures of a region, (T, 3) or (..., T, 3) for several samples of one clip.
        valid: Frames to use, (T,) boolean, the same for all samples.

    Returns:
        Features (N, 30), or (..., N, 30), float64 in the unit of the measures, N = 0 for a clip that is too short.

    Example:
        >>> ramp = torch.arange(50.0)[:, None].expand(50, 3)
        >>> features = motion_windows(ramp)
        >>> features.shape, round(float(features[1, 0]), 6)  # the second half lies 12.5 above the mean: 12.5 * sqrt(25)
        (torch.Size([2, 30]), 62.5)
    """
    if measures.ndim < 2 or measures.shape[-1] != WINDOW_MEASURES:
        raise ValueError(f"measures must be (..., T, {WINDOW_MEASURES}), got {tuple(measures.shape)}")
    weights = frame_weights(
        valid, measures[..., 0].flatten(0, -2)[0] if measures.ndim > 2 else measures[..., 0]
    )  # (T,)
    centred = masked_centre(measures.double(), weights.expand(measures.shape[:-1]))  # (..., T, 3)
    count = measures.shape[-2] // WINDOW_FRAMES
    used = count * WINDOW_FRAMES
    complete = weights[:used].reshape(count, WINDOW_FRAMES).amin(-1) > 0 if count else weights.new_zeros(0).bool()
    windows = centred[..., :used, :].unflatten(-2, (count, WINDOW_FRAMES))[..., complete, :, :]  # (..., N, W, 3)
    coefficients = torch.einsum("kw,...nwm->...nmk", cosine_basis().to(windows.device), windows)  # (..., N, 3, 10)
    return coefficients.flatten(-2)


def cosine_basis(coefficients: int = WINDOW_COEFFICIENTS, frames: int = WINDOW_FRAMES) -> Tensor:
    """Return the first rows of the orthonormal DCT-II of a window, (coefficients, frames) float64."""
    time = (2.0 * torch.arange(frames, dtype=torch.float64) + 1.0) / (2.0 * frames)
    order = torch.arange(coefficients, dtype=torch.float64).unsqueeze(-1)
    basis = torch.cos(math.pi * order * time) * math.sqrt(2.0 / frames)  # (K, W)
    basis[0] /= math.sqrt(2.0)
    return basis


def _distance(points: Tensor, first: int, second: int) -> Tensor:
    """Return the distance of two landmarks in each frame, (..., T)."""
    return (points[..., first, :] - points[..., second, :]).norm(dim=-1)
