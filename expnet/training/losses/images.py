"""Losses of images: absolute differences of pixels, of a Laplacian pyramid, of local sharpness and of features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def image_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute difference of images, ``sum w |p - q| / sum w``.

    Args:
        predicted: (B, C, H, W).
        target: (B, C, H, W).
        weight: (B, 1, H, W), 0 or more.
    """
    return ((predicted - target).abs() * weight).sum() / (weight.sum() * predicted.shape[1]).clamp_min(1e-6)


def pyramid_loss(predicted: Tensor, target: Tensor, weight: Tensor, *, levels: int = 4) -> Tensor:
    """Weighted mean absolute difference, averaged over the levels of a Laplacian pyramid.

    Each level is an image minus its means over blocks of 2 x 2 pixels; the last level is what remains. Edges, which
    hardly show in a difference of pixels, then count as much as areas (as in Bojanowski et al., arXiv 1707.05776).

    Args:
        predicted: (B, C, H, W), H and W multiples of ``2 ** levels``.
        target: (B, C, H, W).
        weight: (B, 1, H, W), 0 or more.
        levels: Number of halvings.
    """
    error, total = predicted - target, predicted.new_zeros(())
    for _ in range(levels):
        half = torch.nn.functional.avg_pool2d(error, 2)
        detail = error - torch.nn.functional.interpolate(half, scale_factor=2.0, mode="nearest")
        total = total + image_loss(detail, torch.zeros_like(detail), weight)
        error, weight = half, torch.nn.functional.avg_pool2d(weight, 2)
    return (total + image_loss(error, torch.zeros_like(error), weight)) / (levels + 1)


def texture_loss(predicted: Tensor, target: Tensor, weight: Tensor, *, patch: int = 8) -> Tensor:
    """Difference in local sharpness, which penalises a blurred image strongly and a shifted one hardly.

    ``mean |G(p) - G(q)|``, where G is the gradient magnitude averaged over squares of ``patch`` pixels.

    Args:
        predicted: (B, C, H, W).
        target: (B, C, H, W).
        weight: (B, 1, H, W), 0 or more.
        patch: Side of a square in pixels.
    """

    def averaged(values: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(values, patch, stride=patch // 2)

    predicted_texture, target_texture = (averaged(gradient_magnitude(image)) for image in (predicted, target))
    return image_loss(predicted_texture, target_texture, averaged(weight[..., :-1, :-1]))


def sharpness(image: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean gradient magnitude of each image, (B,), in intensity per pixel.

    Args:
        image: (B, C, H, W).
        weight: (B, 1, H, W), 0 or more.
    """
    magnitude = gradient_magnitude(image)
    weight = weight[..., :-1, :-1]
    return (magnitude * weight).sum(dim=(1, 2, 3)) / (weight.sum(dim=(1, 2, 3)) * magnitude.shape[1]).clamp_min(1e-6)


def gradient_magnitude(image: Tensor) -> Tensor:
    """Gradient magnitude of images (B, C, H, W) from forward differences: (B, C, H - 1, W - 1)."""
    across, down = image[..., :-1, 1:] - image[..., :-1, :-1], image[..., 1:, :-1] - image[..., :-1, :-1]
    return (across.square() + down.square() + 1e-8).sqrt()


def perceptual_loss(
    features: Callable[[Tensor], list[Tensor]], predicted: Tensor, target: Tensor, *, scales: int = 1
) -> Tensor:
    """Return the mean absolute difference of features, summed over the features and over scales.

    Source: Johnson et al. 2016, over an image pyramid as in the first-order motion model (Siarohin et al. 2019).

    Args:
        features: Returns features (B, C, h, w) of images.
        predicted: (B, 3, S, S) in [0, 1].
        target: (B, 3, S, S), whose features count as constants.
        scales: Number of scales: the full size and its halves.
    """
    total = predicted.new_zeros((), dtype=torch.float32)
    for scale in range(scales):
        if scale:
            predicted, target = (torch.nn.functional.avg_pool2d(image, 2) for image in (predicted, target))
        with torch.no_grad():
            wanted = features(target)
        for ours, theirs in zip(features(predicted), wanted, strict=True):
            total = total + (ours.float() - theirs.float()).abs().mean()
    return total
