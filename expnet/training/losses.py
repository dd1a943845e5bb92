"""Training losses as pure functions of tensors; each returns a scalar that is comparable between batches.

Frames that are not valid (padding, interpolated) never count, and a batch without a valid frame gives 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from expnet.face.landmarks import INNER_LIPS, MOUTH

LANDMARKS = 68
UPPER_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
"""Pairs of an upper and the lower lid point under it, both eyes (iBUG 68)."""
EYE_CORNERS = ((36, 39), (42, 45))


def masked_mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """Average values (...) over the places where valid (...) holds; 0 where there are none."""
    if valid is None:
        return values.mean()
    weight = valid.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp_min(1.0)


def both_valid(valid: Tensor | None) -> Tensor | None:
    """Return (..., T - 1): whether a frame and the next are both valid."""
    return None if valid is None else valid[..., 1:] & valid[..., :-1]


def discount_offset(predicted: Tensor, target: Tensor, valid: Tensor | None = None, *, weight: float) -> Tensor:
    """Shift a prediction so that the error which it makes in every frame of a window alike counts ``weight`` times.

    That error is who the person is and which mood they are in, of which speech says little; in tracked clips it is
    three times as large as the motion, and drowns it. A squared error of the result is the squared error of the motion
    plus ``weight`` times that of the window's mean.

    Args:
        predicted: (B, T, ...).
        target: (B, T, ...).
        valid: (B, T) bool; the mean is taken over these frames.
        weight: 1 changes nothing, 0 leaves the motion alone.

    Returns:
        (B, T, ...).
    """
    error = predicted - target
    count = (
        torch.ones(error.shape[:2], dtype=error.dtype, device=error.device) if valid is None else valid.to(error.dtype)
    )
    count = count.reshape(*count.shape, *[1] * (error.dim() - 2))
    mean = (error * count).sum(dim=1, keepdim=True) / count.sum(dim=1, keepdim=True).clamp_min(1.0)
    return predicted - (1 - weight**0.5) * mean


def motion_energy(target: Tensor, metric: Tensor, valid: Tensor | None = None) -> Tensor:
    """Variance over the valid frames of each window, weighed as in `coefficient_loss`: (B,), in squared face units.

    Args:
        target: (B, T, E).
        metric: (E, E).
        valid: (B, T) bool.
    """
    weight = target.new_ones(target.shape[:2]) if valid is None else valid.to(target.dtype)
    count = weight.sum(dim=1).clamp_min(1.0)  # (B,)
    motion = target - (target * weight[..., None]).sum(dim=1, keepdim=True) / count[:, None, None]
    return (torch.einsum("bte,ef,btf->bt", motion, metric, motion) * weight).sum(dim=1) / count


def balance_windows(predicted: Tensor, target: Tensor, energy: Tensor, *, share: float) -> Tensor:
    """Shrink the error of lively windows and enlarge that of calm ones, so that no few speakers rule the loss.

    The squared error of window b is multiplied by ``1 / (1 - share + share * energy_b / mean(energy))``.

    Args:
        predicted: (B, T, ...).
        target: (B, T, ...).
        energy: (B,), see `motion_energy`.
        share: 0 changes nothing; near 1 every window counts alike, however much it moves.

    Returns:
        (B, T, ...).
    """
    relative = energy / energy.mean().clamp_min(1e-12)
    factor = (1 - share + share * relative).rsqrt()
    return target + (predicted - target) * factor.reshape(-1, *[1] * (predicted.dim() - 1))


def coefficient_loss(predicted: Tensor, target: Tensor, metric: Tensor, valid: Tensor | None = None) -> Tensor:
    """Weigh coefficient errors by what they move on the face.

    ``mean over frames of d^T G d`` with ``d = predicted - target``. With ``G = basis^T basis / V``
    (`expnet.face.morphable.MorphableModel.expression_metric`) that is the mean squared distance of the vertices, in
    squared face units: components that move little count little, which a plain mean squared error gets wrong.

    Args:
        predicted: (B, T, E).
        target: (B, T, E).
        metric: (E, E), positive semi-definite; the identity gives the plain sum of squares.
        valid: (B, T) bool.
    """
    error = predicted - target
    return masked_mean(torch.einsum("bte,ef,btf->bt", error, metric, error), valid)


def velocity_loss(predicted: Tensor, target: Tensor, metric: Tensor, valid: Tensor | None = None) -> Tensor:
    """Compare changes from frame to frame, weighed as in `coefficient_loss`; both frames of a pair must be valid.

    Args:
        predicted: (B, T, E) with T of 2 or more.
        target: (B, T, E).
        metric: (E, E).
        valid: (B, T) bool.
    """
    return coefficient_loss(predicted.diff(dim=1), target.diff(dim=1), metric, both_valid(valid))


def landmark_weights(*, mouth: float = 2.0, inner_mouth: float = 10.0) -> Tensor:
    """Return weights of the 68 landmarks that average 1.

    Args:
        mouth: of the outer lips, against 1 for the rest of the face.
        inner_mouth: of the inner lips (Deep3DFaceRecon gives them 20).

    Returns:
        (68,) float32.
    """
    weights = torch.ones(LANDMARKS)
    weights[list(MOUTH)] = mouth
    weights[list(INNER_LIPS)] = inner_mouth
    return weights / weights.mean()


def landmark_loss(predicted: Tensor, target: Tensor, weights: Tensor, valid: Tensor | None = None) -> Tensor:
    """Weighted mean squared distance of landmarks, in the squared unit of the landmarks.

    ``mean over frames and landmarks of w_l |p_l - q_l|^2``.

    Args:
        predicted: (B, T, L, D).
        target: (B, T, L, D).
        weights: (L,), see `landmark_weights`.
        valid: (B, T) bool.
    """
    squared = (predicted - target).square().sum(dim=-1)  # (B, T, L)
    return masked_mean((squared * weights).mean(dim=-1), valid)


def eye_ratio(landmarks: Tensor) -> Tensor:
    """Opening of the eyes: mean lid distance over mean eye width (SadTalker's ratio, after Soukupova and Cech).

    Args:
        landmarks: (..., 68, D).

    Returns:
        (...), about 0.3 for open eyes and 0 for closed ones.
    """
    lids = torch.stack([(landmarks[..., a, :] - landmarks[..., b, :]).norm(dim=-1) for a, b in UPPER_LIDS], -1)
    widths = torch.stack([(landmarks[..., a, :] - landmarks[..., b, :]).norm(dim=-1) for a, b in EYE_CORNERS], -1)
    return lids.mean(dim=-1) / widths.mean(dim=-1).clamp_min(1e-6)


def eye_loss(predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean absolute difference of `eye_ratio`, for landmarks (B, T, 68, D)."""
    return masked_mean((eye_ratio(predicted) - eye_ratio(target)).abs(), valid)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of N(mean, exp(log_variance)) from N(0, 1), for each latent dimension.

    ``(mean^2 + exp(log_variance) - 1 - log_variance) / 2``, in nats, 0 or more.

    Args:
        mean: (N, Z).
        log_variance: (N, Z).

    Returns:
        (N, Z).
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def kl_loss(mean: Tensor, log_variance: Tensor, *, free_nats: float = 0.0) -> Tensor:
    """Divergence of a window's posterior from the prior, summed over latent dimensions, averaged over windows.

    Args:
        mean: (N, Z).
        log_variance: (N, Z).
        free_nats: a dimension that carries less than this on average is not pushed further down (free bits, Kingma et
            al., arXiv 1606.04934): the gradient that makes a posterior collapse stops there.
    """
    per_dimension = gaussian_kl(mean, log_variance).mean(dim=0)  # (Z,)
    return per_dimension.clamp_min(free_nats).sum()


def annealed(step: int, *, steps: int) -> float:
    """Return the share of the KL weight at a training step: rises linearly from 0 to 1 over ``steps``."""
    return 1.0 if steps <= 0 else min(1.0, step / steps)


def picture_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute difference of pictures, ``sum w |p - q| / sum w``.

    Args:
        predicted: (B, C, H, W).
        target: (B, C, H, W).
        weight: (B, 1, H, W), 0 or more.
    """
    return ((predicted - target).abs() * weight).sum() / (weight.sum() * predicted.shape[1]).clamp_min(1e-6)


def pyramid_loss(predicted: Tensor, target: Tensor, weight: Tensor, *, levels: int = 4) -> Tensor:
    """Mean over the levels of a Laplacian pyramid of their weighted mean absolute difference.

    A level is a picture less its own mean over squares of two by two pixels, the last one what is left. Edges, which a
    difference of pixels hardly sees, count as much as areas (Bojanowski et al., arXiv 1707.05776, use it so).

    Args:
        predicted: (B, C, H, W), H and W multiples of ``2 ** levels``.
        target: (B, C, H, W).
        weight: (B, 1, H, W), 0 or more.
        levels: halvings.
    """
    error, total = predicted - target, predicted.new_zeros(())
    for _ in range(levels):
        half = torch.nn.functional.avg_pool2d(error, 2)
        detail = error - torch.nn.functional.interpolate(half, scale_factor=2.0, mode="nearest")
        total = total + picture_loss(detail, torch.zeros_like(detail), weight)
        error, weight = half, torch.nn.functional.avg_pool2d(weight, 2)
    return (total + picture_loss(error, torch.zeros_like(error), weight)) / (levels + 1)


def sharpness(picture: Tensor, weight: Tensor) -> Tensor:
    """Weighed mean length of the gradient of each picture (B, C, H, W): (B,), per pixel.

    Args:
        picture: (B, C, H, W).
        weight: (B, 1, H, W), 0 or more.
    """
    length = gradient_length(picture)
    weight = weight[..., :-1, :-1]
    return (length * weight).sum(dim=(1, 2, 3)) / (weight.sum(dim=(1, 2, 3)) * length.shape[1]).clamp_min(1e-6)


def gradient_length(picture: Tensor) -> Tensor:
    """Length of the gradient of pictures (B, C, H, W) at each pixel but the last ones: (B, C, H - 1, W - 1)."""
    across, down = picture[..., :-1, 1:] - picture[..., :-1, :-1], picture[..., 1:, :-1] - picture[..., :-1, :-1]
    return (across.square() + down.square() + 1e-8).sqrt()


def texture_loss(predicted: Tensor, target: Tensor, weight: Tensor, *, patch: int = 8) -> Tensor:
    """Difference of how sharp pictures are, patch by patch: a blurred picture pays, a shifted one hardly does.

    ``mean |G(p) - G(q)|``, G the length of the gradient averaged over squares of ``patch`` pixels.

    Args:
        predicted: (B, C, H, W).
        target: (B, C, H, W).
        weight: (B, 1, H, W), 0 or more.
        patch: pixels.
    """

    def averaged(values: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(values, patch, stride=patch // 2)

    ours, true = (averaged(gradient_length(picture)) for picture in (predicted, target))
    return picture_loss(ours, true, averaged(weight[..., :-1, :-1]))
