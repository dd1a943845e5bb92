"""Frechet inception distance (FID) with a named protocol, exact over processes and in any module precision."""

from typing import Any, ClassVar

from torch import Tensor, nn

from expnet.metrics.extractor import Extractor, as_extractor
from expnet.metrics.functional.frechet import frechet_distance
from expnet.metrics.functional.resize import INCEPTION_PROTOCOLS, inception_input
from expnet.metrics.moments import MomentMetric

BATCH = 32
"""Number of images per forward pass; the first layers need 25 MB for one image of 299 pixels."""


class FrechetInceptionDistance(MomentMetric):
    """Frechet distance between the Inception features of real and generated images.

    Squared distance in feature units, at least 0, lower is better; ``functional.frechet`` has the formula. All frames
    form two sets, so there is no score per clip.

    States are float64 sums that one all-reduce adds up over processes; a process without images adds zeros. The FID of
    torchmetrics fails in that case, and casts its result to the precision of the features.

    Args:
        extractor: The FID Inception network (``expnet.models.inception``), or any network that maps
            (N, 3, 299, 299) float32 to (N, features).
        protocol_name: Resizing and scaling of the images, one of ``functional.resize.INCEPTION_PROTOCOLS``.
        features: Number of features that the network returns.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = False
    ideal = 0.0
    name = "fid"
    title = "FID"
    unit = "squared feature distance"
    explanation = (
        "Distance between the sets of real and generated frames in the features of an ImageNet network, which reflects "
        "image quality and identity as a whole. It sees neither audio nor motion, and a still clip scores well. It is "
        "biased upwards for few frames, and frames of one clip are almost copies: below 2048 frames, or a few dozen "
        "clips, compare only sets of equal size. Codec, resizing and scaling change it by whole units, so compare only "
        "equal protocols."
    )
    options: ClassVar[tuple[str, ...]] = ("protocol_name", "features")

    def __init__(
        self,
        extractor: nn.Module | Extractor,
        *,
        protocol_name: str = "pytorch_fid",
        features: int = 2048,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, **kwargs)
        if protocol_name not in INCEPTION_PROTOCOLS:
            raise ValueError(f"protocol_name must be one of {', '.join(INCEPTION_PROTOCOLS)}, got {protocol_name!r}")
        self.extractor = as_extractor(extractor)
        self.protocol_name = protocol_name

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that must be equal for two scores to be comparable: the options and the network."""
        return {**super().protocol, "extractor": self.extractor.name, "checksum": self.extractor.checksum}

    def update(self, images: Tensor, real: bool) -> None:
        """Add images.

        Args:
            images: (N, 3, H, W) or (B, T, 3, H, W) uint8 RGB.
            real: Whether the images are real or generated.
        """
        for part in images.flatten(0, -4).split(BATCH):
            self.add_features(self.extractor(inception_input(part, self.protocol_name)), real)

    def compute(self) -> Tensor:
        """Return the FID of all images of all processes, () float64; NaN if a side has fewer than two images."""
        return frechet_distance(self.moments(True), self.moments(False))
