"""PSNR, SSIM and MS-SSIM with fixed and named conventions."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.image import PSNR_CEILING, SSIM_VARIANTS, ms_ssim, psnr, ssim
from expnet.metrics.functional.masking import frame_weights, masked_mean


class FrameMetric(ClipMetric):
    """Base of image metrics: the mean over the frames of a clip, then over clips.

    Images without a time axis count as clips of one frame.
    """

    def image_score(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the score of each image, (..., C, H, W) -> (...)."""
        raise NotImplementedError

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's mean over its valid frames, and weight 1.

        Args:
            predicted: Images (N, C, H, W) or clips (B, T, C, H, W), uint8 or floating point in [0, 1].
            target: Images of the same shape.
            valid: Frames to use, (B, T) boolean; only for clips.
        """
        if predicted.ndim not in (4, 5):
            raise ValueError(f"images must be (N, C, H, W) or (B, T, C, H, W), got {tuple(predicted.shape)}")
        if predicted.ndim == 4:
            return unweighted(self.image_score(predicted, target))
        if len(predicted) == 0:
            return unweighted(torch.zeros(0, dtype=torch.float64, device=predicted.device))
        # One clip at a time, since the float64 planes of a whole batch may exceed the memory of a small GPU.
        scores = torch.stack([self.image_score(a, b) for a, b in zip(predicted, target, strict=True)])  # (B, T)
        return unweighted(masked_mean(scores, frame_weights(valid, scores)))


class PeakSignalToNoiseRatio(FrameMetric):
    """PSNR of each image with data range 1, in dB, averaged over frames, then over clips; higher is better.

    Args:
        ceiling: Maximum score in dB, which identical images get.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    Example:
        >>> metric = PeakSignalToNoiseRatio()
        >>> metric.update(torch.full((2, 3, 8, 8), 0.5), torch.full((2, 3, 8, 8), 0.6))  # an error of 0.1
        >>> round(float(metric.compute()), 4)
        20.0
    """

    higher_is_better = True
    name = "psnr"
    title = "PSNR"
    unit = "dB"
    explanation = (
        "Pixel error on a logarithmic scale, per frame, then averaged (pooling the errors first gives another number). "
        "It penalises head motion that differs from the real one far more than a wrong mouth, and favours blur."
    )
    options: ClassVar[tuple[str, ...]] = ("ceiling",)

    def __init__(self, *, ceiling: float = PSNR_CEILING, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ceiling = float(ceiling)

    def image_score(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the PSNR of each image in dB."""
        return psnr(predicted, target, ceiling=self.ceiling)


class StructuralSimilarity(FrameMetric):
    """SSIM of each image, averaged over channels and frames, then over clips.

    A dimensionless index of at most 1, higher is better; ``functional.ssim`` has formula and source.

    Args:
        variant: ``gaussian`` (Wang's) or ``uniform`` (scikit-image's default).
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = True
    ideal = 1.0
    name = "ssim"
    title = "SSIM"
    unit = "index"
    explanation = (
        "Similarity of local structure, 1 for identical images; Wang's 11 x 11 Gaussian window on RGB in [0, 1] unless "
        "the protocol says otherwise. Libraries differ by .06 on the same pair, so compare only equal protocols."
    )
    options: ClassVar[tuple[str, ...]] = ("variant",)

    def __init__(self, *, variant: str = "gaussian", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if variant not in SSIM_VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(SSIM_VARIANTS)}, got {variant!r}")
        self.variant = variant

    def image_score(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the SSIM of each image."""
        return ssim(predicted, target, variant=self.variant)


class MultiScaleStructuralSimilarity(FrameMetric):
    """MS-SSIM of each image of at least 161 pixels, over five scales, averaged over frames, then over clips.

    A dimensionless index in [0, 1], higher is better; ``functional.ms_ssim`` has formula and conventions.

    Args:
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = True
    ideal = 1.0
    name = "ms_ssim"
    title = "MS-SSIM"
    unit = "index"
    explanation = (
        "SSIM over five scales, which depends less on the viewing distance, but hardly sees wrong motion of a small "
        "mouth. The conventions are those of the package pytorch_msssim (mean over the products of the channels, "
        "negative terms set to 0). Odd sides are padded, so resize to even sides for comparable numbers."
    )

    def image_score(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the MS-SSIM of each image."""
        return ms_ssim(predicted, target)
