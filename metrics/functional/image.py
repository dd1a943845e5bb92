"""PSNR, SSIM and MS-SSIM with fixed conventions: one score per image, averaged over frames, then over clips.

Libraries disagree on the same pair of images: SSIM varies from .827 to .892, and PSNR by 9 dB if errors are pooled
before the logarithm. The conventions are therefore spelt out here, and the tests compare with scikit-image.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

PSNR_CEILING = 100.0
"""Maximum score in dB, which identical images get, so that means over frames stay finite."""
SSIM_VARIANTS = ("gaussian", "uniform")
IMAGE_SCORES = ("psnr", "ssim", "ms_ssim")
"""Scores that `image_scores` computes in one pass."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales of MS-SSIM, fitted to human judgement (Wang, Simoncelli & Bovik 2003)."""
MS_SSIM_SMALLEST = 161
"""Minimum side in pixels, so that an 11 x 11 window fits into the coarsest of the five scales."""
_SIZES = {"gaussian": 11, "uniform": 7}
"""Side of the windows of each variant of SSIM in pixels."""
_CACHED_PIXELS = 2**14
"""Pixels whose intermediate planes, of about 90 bytes each, fit the second-level cache of a core."""


def check_images(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both images as float64 in [0, 1], (..., C, H, W).

    uint8 images are divided by 255 *before* any difference is taken. Differences of uint8 wrap around, which made a
    published score 2 dB too high.

    Raises:
        ValueError: Shapes or types are wrong, or floating point values lie outside [0, 1].
    """
    _check_shapes(predicted, target)
    converted = []
    for name, image in (("predicted", predicted), ("target", target)):
        if image.dtype is torch.uint8:
            converted.append(image.double().div_(255.0))
        elif image.is_floating_point():
            if image.numel() and (image.min() < 0 or image.max() > 1):
                raise ValueError(f"{name} images must be uint8 or lie in [0, 1], got values outside it")
            converted.append(image.double())
        else:
            raise ValueError(f"{name} images must be uint8 or floating point, got {image.dtype}")
    return converted[0], converted[1]


def _check_shapes(predicted: Tensor, target: Tensor) -> None:
    if predicted.shape != target.shape or predicted.ndim < 3:
        raise ValueError(f"images must be two (..., C, H, W), got {tuple(predicted.shape)}, {tuple(target.shape)}")


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
    return image_scores(predicted, target, names=("psnr",), ceiling=ceiling)["psnr"]


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
    return image_scores(predicted, target, names=("ssim",), variant=variant)["ssim"]


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
    return image_scores(predicted, target, names=("ms_ssim",))["ms_ssim"]


def image_scores(
    predicted: Tensor,
    target: Tensor,
    *,
    names: Sequence[str] = IMAGE_SCORES,
    variant: str = "gaussian",
    ceiling: float = PSNR_CEILING,
) -> dict[str, Tensor]:
    """Return several of PSNR, SSIM and MS-SSIM in one pass, equal to `psnr`, `ssim` and `ms_ssim`.

    The images are converted once, and the finest scale of MS-SSIM shares its windows with the Gaussian SSIM.

    Args:
        predicted: Images (..., C, H, W), uint8 or floating point in [0, 1].
        target: Images of the same shape.
        names: Scores to compute, of `IMAGE_SCORES`.
        variant: Variant of `ssim`.
        ceiling: Maximum of `psnr` in dB.

    Returns:
        (...) float64 by name.

    Raises:
        ValueError: The variant is unknown, or the images are invalid or too small for one of the scores.
    """
    if variant not in SSIM_VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(SSIM_VARIANTS)}, got {variant!r}")
    _check_shapes(predicted, target)
    for name in names:
        check_image_size(name, predicted.shape[-2], predicted.shape[-1], variant=variant)
    pairs = zip(*(images.reshape(-1, *images.shape[-3:]) for images in (predicted, target)), strict=True)
    # One image at a time, since the planes of an image fit the processor's cache and those of a clip do not.
    rows = [_scores_of_image(*check_images(*pair), names, variant, ceiling) for pair in pairs]
    shape = predicted.shape[:-3]
    empty = torch.zeros(0, len(names), dtype=torch.float64, device=predicted.device)
    columns = (torch.stack(rows) if rows else empty).unbind(-1)
    return {name: column.reshape(shape) for name, column in zip(names, columns, strict=True)}


def check_image_size(name: str, height: int, width: int, *, variant: str = "gaussian") -> None:
    """Check that images are large enough for one of `IMAGE_SCORES`.

    Raises:
        ValueError: They are not.
    """
    smallest, title = 1, "PSNR"
    if name == "ssim":
        smallest, title = _SIZES[variant], f"SSIM {variant}"
    elif name == "ms_ssim":
        smallest, title = MS_SSIM_SMALLEST, "MS-SSIM"
    if min(height, width) < smallest:
        raise ValueError(f"{title} needs images of at least {smallest} pixels, got {(height, width)}")


def _scores_of_image(first: Tensor, second: Tensor, names: Sequence[str], variant: str, ceiling: float) -> Tensor:
    """Return the named scores of one image (C, H, W)."""
    scores: dict[str, Tensor] = {}
    finest = None
    if "psnr" in names:
        error = torch.stack([(x - y).square_().mean() for x, y in zip(first, second, strict=True)]).mean()
        scores["psnr"] = (-10.0 * torch.log10(error)).clamp(max=ceiling)
    if "ssim" in names:
        similarity, contrast = _mean_similarity(first, second, variant)
        scores["ssim"] = similarity.mean()
        finest = contrast if variant == "gaussian" else None
    if "ms_ssim" in names:
        scores["ms_ssim"] = _multi_scale_similarity(first, second, finest)
    return torch.stack([scores[name] for name in names])


def _multi_scale_similarity(first: Tensor, second: Tensor, finest: Tensor | None) -> Tensor:
    """Return the MS-SSIM of one image (C, H, W); ``finest`` is the mean contrast (C,) of the finest scale, if known."""
    product = first.new_ones(len(first))  # (C,)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            first, second = _half(first), _half(second)
        if scale == 0 and finest is not None:
            term = finest
        else:
            coarsest = scale == len(SCALE_WEIGHTS) - 1
            similarity, contrast = _mean_similarity(first, second, "gaussian", luminance=coarsest)
            term = similarity if coarsest else contrast
        product = product * term.clamp(min=0.0) ** weight
    return product.mean()


def _half(image: Tensor) -> Tensor:
    """Average (C, H, W) over 2 x 2 pixels; an odd side is padded with one black pixel at both ends."""
    odd_height, odd_width = (side % 2 for side in image.shape[-2:])
    if odd_height or odd_width:
        image = F.pad(image, (odd_width, odd_width, odd_height, odd_height))
    image = image[..., : image.shape[-2] // 2 * 2, : image.shape[-1] // 2 * 2]
    top, bottom = image[..., ::2, :], image[..., 1::2, :]
    total = top[..., ::2] + top[..., 1::2]
    return total.add_(bottom[..., ::2]).add_(bottom[..., 1::2]).mul_(0.25)


def _mean_similarity(first: Tensor, second: Tensor, variant: str, *, luminance: bool = True) -> tuple[Tensor, Tensor]:
    """Return the means of SSIM and of its contrast-structure term over all windows of each channel, both (C,).

    Without ``luminance`` both are that of the contrast-structure term. A CPU takes strips of rows that fit its cache,
    which is twice as fast as whole images of 512 pixels.
    """
    size = _SIZES[variant]
    channels, height, width = first.shape
    windows = (height - size + 1) * (width - size + 1)
    if first.device.type != "cpu" or channels * height * width <= _CACHED_PIXELS:
        sums = _similarity_sums(first, second, variant, luminance)
        return sums[0] / windows, sums[1] / windows
    rows = max(_CACHED_PIXELS // width, 1)
    totals = first.new_zeros(2, channels)
    for channel in range(channels):
        for top in range(0, height - size + 1, rows):
            strip = slice(channel, channel + 1), slice(top, top + rows + size - 1)
            totals[:, strip[0]] += _similarity_sums(first[strip], second[strip], variant, luminance)
    return totals[0] / windows, totals[1] / windows


def _similarity_sums(first: Tensor, second: Tensor, variant: str, luminance: bool) -> Tensor:
    """Return the sums of SSIM and of its contrast-structure term over the windows of each channel, (2, C)."""
    size = _SIZES[variant]
    correction = 1.0 if variant == "gaussian" else size**2 / (size**2 - 1)
    # The two variances appear only as their sum, so four planes are filtered, not five.
    planes = torch.stack([first, second, first * first + second * second, first * second])  # (4, C, H, W)
    window = _window(variant, size)
    mean_x, mean_y, squares, cross = _slide(_slide(planes, window, -2), window, -1)  # (C, H - 10, W - 10) for size 11
    means = mean_x * mean_y
    mean_squares = mean_x.square_().add_(mean_y.square_())
    luminance_constant, contrast_constant = 0.01**2, 0.03**2
    contrast = cross.sub_(means).mul_(2 * correction).add_(contrast_constant)
    contrast.div_(squares.sub_(mean_squares).mul_(correction).add_(contrast_constant))
    total = contrast.sum((-1, -2))
    if not luminance:
        return torch.stack([total, total])
    similarity = means.mul_(2).add_(luminance_constant).div_(mean_squares.add_(luminance_constant)).mul_(contrast)
    return torch.stack([similarity.sum((-1, -2)), total])


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
