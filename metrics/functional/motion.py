"""How much things move: jitter against the real clip's own, head-pose diversity and speed."""

import math

import torch
from torch import Tensor

from expnet.metrics.functional.masking import consecutive, frame_weights, masked_mean, masked_std

DEGREES = 180.0 / math.pi


def acceleration_energy(positions: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Mean squared second difference, the energy of jitter.

    .. math:: A = \frac{1}{T-2} \sum_t \frac{1}{L} \sum_l \lVert x_{t+1,l} - 2 x_{t,l} + x_{t-1,l} \rVert^2

    Args:
        positions: (..., T, L, D) points, in any unit.
        valid: (..., T) boolean; a difference counts only when its three frames are valid.

    Returns:
        (...) float64 in squared units per frame^4; NaN where no three frames in a row are valid.
    """
    points = positions.double()
    second = points[..., 2:, :, :] - 2.0 * points[..., 1:-1, :, :] + points[..., :-2, :, :]  # (..., T-2, L, D)
    energy = second.square().sum(-1).mean(-1)  # (..., T-2)
    return masked_mean(energy, consecutive(frame_weights(valid, points[..., 0, 0]), 3))


def jitter_ratio(predicted: Tensor, target: Tensor, *, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Acceleration energy of the prediction over that of the real clip: 1 is as lively as life.

    Below 1 is over-smooth, above 1 trembles. Both sides must be measured the same way (the same tracker, or both from
    coefficients), or the ratio tells of the tracker.

    Returns:
        ratio (...) and the real clip's energy (...): average ratios with the energies as weights, so that a clip in
        which hardly anything moves cannot dominate (the weighted mean is the ratio of the summed energies).
    """
    real = acceleration_energy(target, valid=valid)
    return _ratio(acceleration_energy(predicted, valid=valid), real)


def pose_diversity(rotation: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Definition ``angle_std``: standard deviation over time of pitch, yaw and roll, averaged over the three.

    The form of KDTalker's evaluation; SadTalker's is the same idea on features of a pose network (code unreleased).

    Args:
        rotation: (..., T, 3) radians.
        valid: (..., T) boolean.

    Returns:
        (...) float64, degrees.
    """
    angles = rotation.double().transpose(-1, -2)  # (..., 3, T)
    weights = frame_weights(valid, rotation[..., 0])
    deviation = masked_std(angles, weights.unsqueeze(-2).expand(angles.shape))
    return deviation.mean(-1) * DEGREES


def pose_sample_diversity(samples: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Definition ``pairwise_angle``: mean difference of the angles between samples drawn for one audio.

    .. math:: \frac{2}{N(N-1)} \sum_{i<j} \frac{1}{3T} \sum_t \lVert a^i_t - a^j_t \rVert_1

    A model that collapsed to one answer scores 0.

    Args:
        samples: (N, T, 3) radians, N at least 2.
        valid: (T,) boolean.

    Returns:
        Scalar, degrees.
    """
    if samples.ndim != 3 or samples.shape[0] < 2:
        raise ValueError(f"samples must be (N >= 2, T, 3), got {tuple(samples.shape)}")
    angles = samples.double()
    first, second = torch.triu_indices(angles.shape[0], angles.shape[0], offset=1)
    difference = (angles[first] - angles[second]).abs().mean(-1)  # (pairs, T)
    weights = frame_weights(valid, difference)
    return masked_mean(difference, weights).mean() * DEGREES


def angular_speed(rotation: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Root mean square of the per-frame change of the three angles.

    Args:
        rotation: (..., T, 3) radians.
        valid: (..., T) boolean.

    Returns:
        (...) float64, degrees per frame.
    """
    change = rotation.double().diff(dim=-2).square().sum(-1)  # (..., T-1)
    weights = consecutive(frame_weights(valid, rotation[..., 0]), 2)
    return masked_mean(change, weights).sqrt() * DEGREES


def pose_ratio(
    predicted: Tensor, target: Tensor, *, measure: str = "diversity", valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Ratio of the prediction's diversity or speed to the real clip's, with the real value as its weight.

    Args:
        predicted: (..., T, 3) radians.
        target: (..., T, 3) radians.
        measure: ``diversity`` (``pose_diversity``) or ``speed`` (``angular_speed``).
        valid: (..., T) boolean.
    """
    measures = {"diversity": pose_diversity, "speed": angular_speed}
    if measure not in measures:
        raise ValueError(f"measure must be one of {', '.join(measures)}, got {measure!r}")
    return _ratio(measures[measure](predicted, valid=valid), measures[measure](target, valid=valid))


def _ratio(predicted: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Divide, with NaN (and weight 0) where the real clip does not move at all."""
    still = ~(real > 0)
    ratio = (predicted / real).masked_fill(still, torch.nan)
    return ratio, real.masked_fill(still, 0.0)
