"""PSNR, SSIM and MS-SSIM with fixed conventions: one score per image, averaged over frames, then over clips.

Libraries disagree on the same pair of images: SSIM varies from .827 to .892, and PSNR by 9 dB if errors are pooled
before the logarithm. The conventions are therefore spelt out here, and the tests compare with scikit-image.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

PSNR_CEILING = 100.0
"""Maximum score in dB, which identical images get, so that means over frames stay finite."""
SSIM_VARIANTS = ("gaussian", "uniform")
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales of MS-SSIM, fitted to human judgement (Wang, Simoncelli & Bovik 2003)."""
MS_SSIM_SMALLEST = 161
"""Minimum side in pixels, so that an 11 x 11 window fits into the coarsest of the five scales."""


def check_images(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both images as float64 in [0, 1], (..., C, H, W).

    uint8 images are divided by 255 *before* any difference is taken. Differences of uint8 wrap around, which made a
    published score 2 dB too high.

    Raises:
        ValueError: Shapes or types are wrong, or floating point values lie outside [0, 1].
    """
    if predicted.shape != target.shape or predicted.ndim < 3:
        raise ValueError(f"images must be two (..., C, H, W), got {tuple(predicted.shape)}, {tuple(target.shape)}")
    converted = []
    for name, image in (("predicted", predicted), ("target", target)):
        if image.dtype is torch.uint8:
            converted.append(image.double() / 255.0)
        elif image.is_floating_point():
            if image.numel() and (image.min() < 0 or image.max() > 1):
                raise ValueError(f"{name} images must be uint8 or lie in [0, 1], got values outside it")
            converted.append(image.double())
        else:
            raise ValueError(f"{name} images must be uint8 or floating point, got {image.dtype}")
    return converted[0], converted[1]


def psnr(predicted: Tensor, target: Tensor, *, ceiling: float = PSNR_CEILING) -> Tensor:
    r"""Return the peak signal-to-noise ratio of each image, data range 1.

    .. math:: \mathrm{PSNR} = -10 \log_{10} \frac{1}{CHW} \sum (x - y)^2

    Args:
        predicted: Images (..., C, H, W), uint8 or floating point in [0, 1].
        target: Images of the same shape.
        ceiling: Maximum score in dB, which identical images get.

    Returns:
        (...) float64 in dB, higher is better.

    Example:
        >>> round(float(psnr(torch.full((3, 8, 8), 0.5), torch.full((3, 8, 8), 0.6))), 4)  # an error of 0.1
        20.0
    """
    first, second = check_images(predicted, target)
    error = (first - second).square().mean((-1, -2, -3))
    return (-10.0 * torch.log10(error)).clamp(max=ceiling)


def ssim(predicted: Tensor, target: Tensor, *, variant: str = "gaussian") -> Tensor:
    r"""Return the structural similarity of each image, averaged over windows and channels, data range 1.

    .. math:: \frac{(2\mu_x\mu_y + C_1)(2\sigma_{xy} + C_2)}{(\mu_x^2+\mu_y^2+C_1)(\sigma_x^2+\sigma_y^2+C_2)},
              \qquad C_1 = 0.01^2, \; C_2 = 0.03^2

    Source: Wang, Bovik, Sheikh & Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 13(4), 2004.

    Args:
        predicted: Images (..., C, H, W), uint8 or floating point in [0, 1].
        target: Images of the same shape.
        variant: ``gaussian`` is Wang's version: 11 x 11 windows with sigma 1.5, population covariance, only windows
            that lie inside the image. ``uniform`` is scikit-image's default, which EAT reports: 7 x 7 windows, sample
            covariance.

    Returns:
        (...) float64, at most 1, higher is better; 1 for identical images.

    Raises:
        ValueError: The variant is unknown, the images are invalid, or they are smaller than a window.
    """
    if variant not in SSIM_VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(SSIM_VARIANTS)}, got {variant!r}")
    first, second = check_images(predicted, target)
    size = 11 if variant == "gaussian" else 7
    if min(first.shape[-2:]) < size:
        raise ValueError(f"SSIM {variant} needs images of at least {size} pixels, got {tuple(first.shape[-2:])}")
    window = _window(variant, size)
    correction = 1.0 if variant == "gaussian" else size**2 / (size**2 - 1)
    return _each_image(lambda x, y: _mean_similarity(x, y, window, correction), first, second)


def ms_ssim(predicted: Tensor, target: Tensor) -> Tensor:
    r"""Return the multi-scale structural similarity of each image: five scales, Wang's Gaussian window, data range 1.

    .. math:: \frac{1}{C} \sum_c \; \max(s_{5c}, 0)^{w_5} \prod_{m=1}^{4} \max(k_{mc}, 0)^{w_m}

    where :math:`k` is the mean contrast-structure term of a scale and :math:`s` the mean SSIM of the coarsest one. Each
    scale averages the previous one over 2 x 2 pixels; an odd side is first padded with one black pixel at both ends.
    These are the conventions of the ``pytorch_msssim`` package, which most papers that report MS-SSIM use.

    Args:
        predicted: Images (..., C, H, W), uint8 or floating point in [0, 1], both sides at least 161 pixels.
        target: Images of the same shape.

    Returns:
        (...) float64 in [0, 1], higher is better; 1 for identical images.

    Raises:
        ValueError: The images are invalid or smaller than 161 pixels.
    """
    first, second = check_images(predicted, target)
    if min(first.shape[-2:]) < MS_SSIM_SMALLEST:
        raise ValueError(f"MS-SSIM needs images of at least {MS_SSIM_SMALLEST} pixels, got {tuple(first.shape[-2:])}")
    return _each_image(_multi_scale_similarity, first, second)


def _multi_scale_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Return the MS-SSIM of one image (C, H, W)."""
    window = _window("gaussian", 11)
    product = first.new_ones(len(first))  # (C,)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            padding = [side % 2 for side in first.shape[-2:]]
            first, second = (F.avg_pool2d(image, kernel_size=2, padding=padding) for image in (first, second))
        similarity, contrast = _similarity(first, second, window, 1.0)
        coarsest = scale == len(SCALE_WEIGHTS) - 1
        term = (similarity if coarsest else contrast).mean((-1, -2))
        product = product * term.clamp(min=0.0) ** weight
    return product.mean()


def _each_image(score: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
    """Score images one at a time, since one image fits the processor's cache and a clip does not."""
    if first.ndim == 3:
        return score(first, second)
    scores = [score(x, y) for x, y in zip(first.flatten(0, -4), second.flatten(0, -4), strict=True)]
    return torch.stack(scores).reshape(first.shape[:-3]) if scores else first.new_zeros(first.shape[:-3])


def _mean_similarity(first: Tensor, second: Tensor, window: list[float], correction: float) -> Tensor:
    """Return the SSIM of one image (C, H, W), one channel at a time to fit the processor's cache."""
    channels = zip(first.split(1), second.split(1), strict=True)
    return torch.stack([_similarity(x, y, window, correction)[0].mean() for x, y in channels]).mean()


def _similarity(first: Tensor, second: Tensor, window: list[float], correction: float) -> tuple[Tensor, Tensor]:
    """Return SSIM and its contrast-structure term at every window of one image, (C, H - 10, W - 10) for size 11."""
    planes = torch.stack([first, second, first * first, second * second, first * second])  # (5, C, H, W)
    mean_x, mean_y, square_x, square_y, cross = _slide(_slide(planes, window, -1), window, -2)
    variance = correction * (square_x - mean_x**2 + square_y - mean_y**2)
    covariance = correction * (cross - mean_x * mean_y)
    luminance_constant, contrast_constant = 0.01**2, 0.03**2
    contrast = (2 * covariance + contrast_constant) / (variance + contrast_constant)
    luminance = (2 * mean_x * mean_y + luminance_constant) / (mean_x**2 + mean_y**2 + luminance_constant)
    return luminance * contrast, contrast


def _window(variant: str, size: int) -> list[float]:
    """Return the one-dimensional window, which sums to 1."""
    if variant == "uniform":
        return [1.0 / size] * size
    weights = [math.exp(-((place - size // 2) ** 2) / (2 * 1.5**2)) for place in range(size)]
    return [weight / sum(weights) for weight in weights]


def _slide(planes: Tensor, window: list[float], axis: int) -> Tensor:
    """Filter along an axis without padding, by shifted sums, which are ten times faster than a float64 convolution."""
    kept = planes.shape[axis] - len(window) + 1
    total = planes.narrow(axis, 0, kept) * window[0]
    for place, weight in enumerate(window[1:], 1):
        total.add_(planes.narrow(axis, place, kept), alpha=weight)
    return total
