"""Frechet inception distance (FID) with a named protocol, exact over processes and in any module precision."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expnet.metrics.base import NamedMetric
from expnet.metrics.extractor import Extractor, as_extractor
from expnet.metrics.functional.frechet import Moments, frechet_distance
from expnet.metrics.functional.resize import INCEPTION_PROTOCOLS, inception_input

BATCH = 32
"""Number of images per forward pass; the first layers need 25 MB for one image of 299 pixels."""


class FrechetInceptionDistance(NamedMetric):
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

    real_count: Tensor
    real_total: Tensor
    real_scatter: Tensor
    generated_count: Tensor
    generated_total: Tensor
    generated_scatter: Tensor

    def __init__(
        self,
        extractor: nn.Module | Extractor,
        *,
        protocol_name: str = "pytorch_fid",
        features: int = 2048,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dist_sync_fn": _all_reduce, **kwargs})
        if protocol_name not in INCEPTION_PROTOCOLS:
            raise ValueError(f"protocol_name must be one of {', '.join(INCEPTION_PROTOCOLS)}, got {protocol_name!r}")
        self.extractor = as_extractor(extractor)
        self.protocol_name = protocol_name
        self.features = int(features)
        self._fixed: dict[bool, Moments] = {}
        for side in ("real", "generated"):
            self.add_state(f"{side}_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
            self.add_state(f"{side}_total", torch.zeros(features, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(
                f"{side}_scatter", torch.zeros(features, features, dtype=torch.float64), dist_reduce_fx="sum"
            )

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

    def add_features(self, features: Tensor, real: bool) -> None:
        """Add features (N, features) that were computed elsewhere."""
        if features.ndim != 2 or features.shape[1] != self.features:
            raise ValueError(f"features must be (N, {self.features}), got {tuple(features.shape)}")
        if real in self._fixed:
            raise ValueError("the moments of this side were loaded; nothing can be added to them")
        side, added = _side(real), Moments.of(features.detach().to(self.real_total.device))
        for state in ("count", "total", "scatter"):
            # Not in place, see `ClipMetric.accumulate`.
            setattr(self, f"{side}_{state}", getattr(self, f"{side}_{state}") + getattr(added, state))
        self.changed()

    def moments(self, real: bool) -> Moments:
        """Return the moments of one side: of this process, or of all processes in ``sync_context`` and ``compute``."""
        if real in self._fixed:
            return self._fixed[real].to(self.real_total.device)
        return Moments(*(getattr(self, f"{_side(real)}_{state}") for state in ("count", "total", "scatter")))

    def load_moments(self, moments: Moments, real: bool = True) -> None:
        """Fix the moments of one side, for instance of the real images, which never change.

        Every process must load the same moments. They are not summed over processes, and ``reset`` keeps them.

        Args:
            moments: Moments of ``features`` features.
            real: Whether they are of real or generated images.
        """
        if len(moments.total) != self.features:
            raise ValueError(f"moments must be of {self.features} features, got {len(moments.total)}")
        self._fixed[real] = moments
        self.changed()

    def compute(self) -> Tensor:
        """Return the FID of all images of all processes, () float64; NaN if a side has fewer than two images."""
        return frechet_distance(self.moments(True), self.moments(False))


def _side(real: bool) -> str:
    return "real" if real else "generated"


def _all_reduce(state: Tensor, group: Any = None) -> list[Tensor]:
    """Sum a state over processes instead of gathering it, which would need a 34 MB matrix per process."""
    total = state.clone()
    torch.distributed.all_reduce(total, group=group)
    return [total]
