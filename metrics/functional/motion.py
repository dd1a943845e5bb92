"""Amount of motion: jitter, head-pose diversity and head speed, absolute or relative to the real clip."""

import math

import torch
from torch import Tensor

from expnet.metrics.functional.masking import consecutive, frame_weights, masked_mean, masked_std

DEGREES = 180.0 / math.pi


def acceleration_energy(positions: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Return the mean squared second difference, the energy of jitter.

    .. math:: A = \frac{1}{T-2} \sum_t \frac{1}{L} \sum_l \lVert x_{t+1,l} - 2 x_{t,l} + x_{t-1,l} \rVert^2

    Args:
        positions: Points (..., T, L, D) in any unit.
        valid: Frames to use, (..., T) boolean; a difference counts only if its three frames are valid.

    Returns:
        (...) float64 in squared units per frame^4; NaN without three successive valid frames.

    Example:
        >>> positions = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(4, 1, 1)
        >>> float(acceleration_energy(positions))  # second differences -2 and 2
        4.0
    """
    points = positions.double()
    second = points[..., 2:, :, :] - 2.0 * points[..., 1:-1, :, :] + points[..., :-2, :, :]  # (..., T-2, L, D)
    energy = second.square().sum(-1).mean(-1)  # (..., T-2)
    return masked_mean(energy, consecutive(frame_weights(valid, points[..., 0, 0]), 3))


def jitter_ratio(predicted: Tensor, target: Tensor, *, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the acceleration energy of the prediction divided by that of the real clip.

    1 is as lively as the real clip, below 1 is over-smooth, above 1 jitters. Both sides must be measured in the same
    way (the same tracker, or both from coefficients); otherwise the ratio reflects the tracker.

    Args:
        predicted: Points (..., T, L, D).
        target: Points of the same shape and unit.
        valid: Frames to use, (..., T) boolean.

    Returns:
        The ratio, (...) float64, and the real clip's energy, (...), to be used as weight: the weighted mean is the
        ratio of the summed energies, in which a nearly still clip cannot dominate. A clip whose real side does not
        accelerate gives NaN and weight 0.
    """
    real = acceleration_energy(target, valid=valid)
    return ratio_to_real(acceleration_energy(predicted, valid=valid), real)


def pose_diversity(rotation: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Return the standard deviation over time of pitch, yaw and roll, averaged over the three angles (``angle_std``).

    This is the definition of KDTalker's evaluation. SadTalker applies the same idea to features of a pose network,
    whose code is unreleased.

    Args:
        rotation: Head angles in radians, (..., T, 3).
        valid: Frames to use, (..., T) boolean.

    Returns:
        (...) float64 in degrees; NaN without a valid frame.
    """
    angles = rotation.double().transpose(-1, -2)  # (..., 3, T)
    weights = frame_weights(valid, rotation[..., 0])
    deviation = masked_std(angles, weights.unsqueeze(-2).expand(angles.shape))
    return deviation.mean(-1) * DEGREES


def pose_sample_diversity(samples: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Return the mean angle difference between head motions sampled for the same audio (``pairwise_angle``).

    .. math:: \frac{2}{N(N-1)} \sum_{i<j} \frac{1}{3T} \sum_t \lVert a^i_t - a^j_t \rVert_1

    A model that always samples the same motion scores 0.

    Args:
        samples: Head angles in radians, (N, T, 3), N at least 2.
        valid: Frames to use, (T,) boolean.

    Returns:
        () float64 in degrees.

    Raises:
        ValueError: ``samples`` has another shape.
    """
    if samples.ndim != 3 or samples.shape[0] < 2:
        raise ValueError(f"samples must be (N >= 2, T, 3), got {tuple(samples.shape)}")
    angles = samples.double()
    first, second = torch.triu_indices(angles.shape[0], angles.shape[0], offset=1)
    difference = (angles[first] - angles[second]).abs().mean(-1)  # (pairs, T)
    weights = frame_weights(valid, difference)
    return masked_mean(difference, weights).mean() * DEGREES


def angular_speed(rotation: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Return the root mean square of the angle change per frame.

    .. math:: \sqrt{\frac{1}{T-1} \sum_t \lVert a_{t+1} - a_t \rVert^2}

    Args:
        rotation: Head angles in radians, (..., T, 3).
        valid: Frames to use, (..., T) boolean; a change counts only if both its frames are valid.

    Returns:
        (...) float64 in degrees per frame; NaN without two successive valid frames.
    """
    change = rotation.double().diff(dim=-2).square().sum(-1)  # (..., T-1)
    weights = consecutive(frame_weights(valid, rotation[..., 0]), 2)
    return masked_mean(change, weights).sqrt() * DEGREES


def pose_ratio(
    predicted: Tensor, target: Tensor, *, measure: str = "diversity", valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the prediction's head-pose diversity or speed divided by that of the real clip.

    Args:
        predicted: Head angles in radians, (..., T, 3).
        target: Real head angles in radians, (..., T, 3).
        measure: ``diversity`` (``pose_diversity``) or ``speed`` (``angular_speed``).
        valid: Frames to use, (..., T) boolean.

    Returns:
        The ratio, (...) float64, 1 for motion of the real amount, and the real value, (...), to be used as weight. A
        clip whose real head does not move gives NaN and weight 0.

    Raises:
        ValueError: ``measure`` is unknown.
    """
    measures = {"diversity": pose_diversity, "speed": angular_speed}
    if measure not in measures:
        raise ValueError(f"measure must be one of {', '.join(measures)}, got {measure!r}")
    return ratio_to_real(measures[measure](predicted, valid=valid), measures[measure](target, valid=valid))


def ratio_to_real(predicted: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ratio and its weight; NaN and 0 if the real clip does not move at all."""
    still = ~(real > 0)
    ratio = (predicted / real).masked_fill(still, torch.nan)
    return ratio, real.masked_fill(still, 0.0)
