"""Image distances by networks that are calibrated on human judgement: LPIPS and DISTS."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expnet.metrics.extractor import Extractor, as_extractor
from expnet.metrics.functional.image import check_images
from expnet.metrics.image import FrameMetric

BATCH = 4
"""Number of image pairs per forward pass. VGG's first layer needs 17 MB for one image of 256 pixels, and larger batches
are not faster."""
BACKBONES = ("alex", "vgg", "squeeze")


class _NetworkDistance(FrameMetric):
    """Base of distances that a network computes for a pair of images; at least 0, lower is better.

    Args:
        extractor: The network.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = False
    ideal = 0.0
    unit = "distance"

    def __init__(self, extractor: nn.Module | Extractor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extractor = as_extractor(extractor)

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that must be equal for two scores to be comparable: the options and the network."""
        return {**super().protocol, "extractor": self.extractor.name, "checksum": self.extractor.checksum}

    def prepare(self, images: Tensor) -> Tensor:
        """Scale images from [0, 1] to the range of the network."""
        raise NotImplementedError

    def image_score(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the distance of each pair, (N, 3, H, W) -> (N,)."""
        scores = [
            self.extractor(*(self.prepare(images.float()) for images in check_images(*pair))).flatten()
            for pair in zip(predicted.split(BATCH), target.split(BATCH), strict=True)
            if len(pair[0])
        ]
        return torch.cat(scores).double() if scores else torch.zeros(0, dtype=torch.float64, device=predicted.device)


class LearnedPerceptualDistance(_NetworkDistance):
    """LPIPS of each frame, averaged over frames, then over clips.

    Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018.

    Args:
        extractor: The network of ``expnet.models.perceptual.load_lpips``, an ``lpips.LPIPS``, or any network that maps
            two tensors (N, 3, H, W) in [-1, 1] to N numbers.
        backbone: Backbone of the network, ``alex``, ``vgg`` or ``squeeze``. Values of different backbones are not
            comparable.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes frames ``predicted`` and ``target``, (B, T, 3, H, W) or (N, 3, H, W), uint8 or floating point in
    [0, 1], and ``valid`` (B, T) boolean or None. Values in [-1, 1] are refused, since mixing up the two ranges is the
    most common error in published LPIPS values.
    """

    options: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(self, extractor: nn.Module | Extractor, *, backbone: str = "alex", **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        if backbone not in BACKBONES:
            raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, got {backbone!r}")
        self.backbone = backbone
        self.name = "lpips" if backbone == "alex" else f"lpips_{backbone}"
        self.title = f"LPIPS ({backbone})"
        self.explanation = (
            f"Perceived difference of two frames, from features of an ImageNet network ({backbone}) weighted by human "
            "judgement. It tolerates small shifts better than PSNR, but head motion that differs from the real one "
            "still dominates, since the mouth is a few per cent of the image. Other backbones, sizes and crops give "
            "other numbers."
        )

    def prepare(self, images: Tensor) -> Tensor:
        """Scale from [0, 1] to [-1, 1]."""
        return 2 * images - 1


class StructureTextureDistance(_NetworkDistance):
    """DISTS of each frame, averaged over frames, then over clips.

    Source: Ding et al., "Image quality assessment: unifying structure and texture similarity", TPAMI 44(5), 2022.

    Args:
        extractor: The network of ``expnet.models.perceptual.load_dists``, or any network that maps two tensors
            (N, 3, H, W) in [0, 1] to N numbers.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes the arguments of ``LearnedPerceptualDistance``.
    """

    name = "dists"
    title = "DISTS"
    explanation = (
        "Perceived difference in structure and texture, from features of a VGG network. Texture is compared by its "
        "statistics: resynthesised hair and skin cost little, blur costs much. As in LPIPS, head motion dominates, not "
        "the mouth."
    )

    def prepare(self, images: Tensor) -> Tensor:
        """Return the images unchanged."""
        return images
