"""Frechet video distance (FVD) with a named protocol, exact over processes and in any module precision."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expnet.metrics.extractor import Extractor, as_extractor
from expnet.metrics.functional.frechet import Moments, frechet_distance
from expnet.metrics.functional.frechet_extrapolation import FOLDS, extrapolated_frechet_distance, fold_moments
from expnet.metrics.functional.video_clips import VIDEO_PROTOCOLS, video_input
from expnet.metrics.moments import MomentMetric

FEWEST_VIDEOS = 32
"""With fewer videos on either side the distance is bias alone, and is not computed."""


class FrechetVideoDistance(MomentMetric):
    """Frechet distance between the I3D features of real and generated videos, one vector for each video.

    Squared distance in feature units, at least 0, lower is better; ``functional.frechet`` has the formula. States are
    float64 sums that one all-reduce adds up over processes.

    Args:
        extractor: I3D (``expnet.models.i3d``), or any network that maps (N, 3, 16, 224, 224) float32 to (N, features).
        protocol_name: Frames, crop and range of values, one of ``functional.video_clips.VIDEO_PROTOCOLS``.
        features: Number of features that the network returns.
        fewest: Number of videos on either side below which the value is NaN.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = False
    ideal = 0.0
    name = "fvd"
    title = "FVD"
    unit = "squared feature distance"
    explanation = (
        "Distance between the sets of real and generated videos in the features of a network that recognises actions "
        "in 16 frames, 0.64 s. It sees quality, flicker and gross motion, and neither audio nor identity. There is one "
        "vector for each video, so it is biased upwards for a few hundred videos: compare only sets of one size, and "
        "read the extrapolated value beside it. Frames, crop and range of values change it by a multiple, so compare "
        "only equal protocols."
    )
    options: ClassVar[tuple[str, ...]] = ("protocol_name", "features", "fewest")

    def __init__(
        self,
        extractor: nn.Module | Extractor,
        *,
        protocol_name: str = "latentsync",
        features: int = 400,
        fewest: int = FEWEST_VIDEOS,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, **kwargs)
        if protocol_name not in VIDEO_PROTOCOLS:
            raise ValueError(f"protocol_name must be one of {', '.join(VIDEO_PROTOCOLS)}, got {protocol_name!r}")
        self.extractor = as_extractor(extractor)
        self.protocol_name = protocol_name
        self.fewest = max(int(fewest), 2)

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that must be equal for two scores to be comparable: the options and the network."""
        return {**super().protocol, "extractor": self.extractor.name, "checksum": self.extractor.checksum}

    def embed(self, frames: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Return the features (1, F) of one video.

        Args:
            frames: (T, 3, H, W) uint8 RGB.
            boxes: Face boxes (T, 4) in pixels, for a protocol that cuts the face (``functional.mesh_boxes``).

        Raises:
            UnscorableClipError: The video is too short, or a frame has no face.
        """
        features: Tensor = self.extractor(video_input(frames, self.protocol_name, boxes=boxes)[None])
        return features

    def update(self, videos: Tensor, real: bool, boxes: Tensor | None = None) -> None:
        """Add videos.

        Args:
            videos: (B, T, 3, H, W) uint8 RGB.
            real: Whether they are real or generated.
            boxes: Face boxes (B, T, 4) in pixels, for a protocol that cuts the face.
        """
        for place, frames in enumerate(videos):
            self.add_features(self.embed(frames, None if boxes is None else boxes[place]), real)

    def compute(self) -> Tensor:
        """Return the FVD of all videos of all processes, () float64; NaN if a side has fewer than ``fewest``."""
        real, generated = self.moments(True), self.moments(False)
        if min(int(real.count), int(generated.count)) < self.fewest:
            return torch.full((), torch.nan, dtype=torch.float64, device=real.total.device)
        return frechet_distance(real, generated)


class ExtrapolatedVideoDistance(FrechetVideoDistance):
    """FVD extrapolated to infinitely many videos; ``functional.frechet_extrapolation`` has the method.

    States are the moments of eight folds of the videos, float64 sums as those of FVD itself.

    Args:
        extractor: See `FrechetVideoDistance`.
        **kwargs: Arguments of `FrechetVideoDistance`.
    """

    name = "fvd_extrapolated"
    title = "FVD, extrapolated"
    explanation = (
        "FVD that infinitely many videos would have, from a line through the distances of subsets of half of the "
        "videos to all. It removes the bias of few videos where there are two or three for each of the 400 features. "
        "With fewer it is still too large, if less so than FVD itself."
    )
    real_folds: Tensor
    generated_folds: Tensor

    def __init__(self, extractor: nn.Module | Extractor, **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        width = self.features
        for side in ("real", "generated"):
            empty = torch.zeros(FOLDS, width + 1, width + 1, dtype=torch.float64)
            self.add_state(f"{side}_folds", empty, dist_reduce_fx="sum")

    def add_features(self, features: Tensor, real: bool) -> None:
        """Add features (N, features) that were computed elsewhere."""
        super().add_features(features, real)
        name = "real_folds" if real else "generated_folds"
        added = torch.stack([_packed(fold) for fold in fold_moments(features.detach())])
        setattr(self, name, getattr(self, name) + added.to(self.real_total.device))

    def load_moments(self, moments: Moments, real: bool = True) -> None:
        """Refuse: the moments of a whole set say nothing about its parts.

        Raises:
            ValueError: Always.
        """
        raise ValueError("extrapolating needs the videos themselves, not the moments of all of them")

    def compute(self) -> Tensor:
        """Return the extrapolated FVD, () float64; NaN if a side has fewer than ``fewest`` videos."""
        if min(int(self.real_count), int(self.generated_count)) < self.fewest:
            return torch.full((), torch.nan, dtype=torch.float64, device=self.real_total.device)
        sides = [[_unpacked(fold) for fold in folds] for folds in (self.real_folds, self.generated_folds)]
        return extrapolated_frechet_distance(*sides)


def _packed(moments: Moments) -> Tensor:
    """Return moments as one matrix (F + 1, F + 1), which sums add up as they add up moments."""
    top = torch.cat([moments.count.double().reshape(1), moments.total])  # (F + 1,)
    below = torch.cat([moments.total.unsqueeze(1), moments.scatter], 1)  # (F, F + 1)
    return torch.cat([top.unsqueeze(0), below])


def _unpacked(matrix: Tensor) -> Moments:
    """Undo `_packed`."""
    return Moments(matrix[0, 0].long(), matrix[0, 1:], matrix[1:, 1:])
