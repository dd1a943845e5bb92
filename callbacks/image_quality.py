"""LPIPS and FID of validation clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import nn

from expnet.assets.extractors import open_extractor
from expnet.callbacks.clip_sample import ClipSample, picked_frames
from expnet.callbacks.metric_callback import MetricCallback
from expnet.metrics import Extractor, FrechetInceptionDistance, LearnedPerceptualDistance, NamedMetric


class LpipsCallback(MetricCallback):
    """Log ``val/lpips`` (``val/lpips_vgg``, ...): the perceptual distance between generated and real frames.

    Needs ``frames`` and ``target_frames``. Every ``stride``-th frame of a clip is compared, without frame 0.

    Args:
        weights: Weight file of the torchvision backbone. None searches as `expnet.assets.registry` does, and
            ``"random"`` takes random weights.
        backbone: ``alex``, ``vgg`` or ``squeeze``.
        network: Network to use instead of a weight file.
        stride: Number of frames from one compared frame to the next.
        **options: Arguments of `MetricCallback`.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        backbone: str = "alex",
        network: Extractor | nn.Module | None = None,
        stride: int = 5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.weights, self.backbone, self.network, self.stride = weights, backbone, network, stride
        # A placeholder without a network: name and direction are needed before the network is opened.
        self.measures = [LearnedPerceptualDistance(nn.Identity(), backbone=backbone)]

    def open(self) -> Sequence[NamedMetric]:
        """Open the backbone and return the metric."""
        kind = f"lpips_{self.backbone}"
        extractor = open_extractor(kind, self.weights) if self.network is None else self.network
        return [LearnedPerceptualDistance(extractor, backbone=self.backbone)]

    def add(self, sample: ClipSample) -> None:
        """Score one clip."""
        frames, target = sample.need("frames", "target_frames")
        picked = picked_frames(len(frames), self.stride)
        for metric in self.metrics:
            metric.update(frames[picked][None], target[picked][None])


class FrechetCallback(MetricCallback):
    """Log ``val/fid``: the Frechet distance between the distributions of generated and real frames.

    Needs ``frames`` and ``target_frames``. Every ``stride``-th frame of a clip counts, without frame 0. Real frames are
    processed in the first validation only, since all validations use the same clips. FID of so few frames is far above
    that of a large test set, so the value compares steps of one run, not systems.

    Args:
        weights: Weight file of the Inception network. None searches as `expnet.assets.registry` does, and ``"random"``
            takes random weights.
        protocol_name: Protocol of `FrechetInceptionDistance`.
        network: Network to use instead of a weight file.
        features: Number of features that the network returns.
        stride: Number of frames from one counted frame to the next.
        **options: Arguments of `MetricCallback`.
    """

    measures: Sequence[NamedMetric | type[NamedMetric]] = (FrechetInceptionDistance,)

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        protocol_name: str = "pytorch_fid",
        network: Extractor | nn.Module | None = None,
        features: int = 2048,
        stride: int = 5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.weights, self.network, self.stride = weights, network, stride
        self.protocol_name, self.features = protocol_name, features
        self._real_is_known = False

    def open(self) -> Sequence[NamedMetric]:
        """Open the Inception network and return the metric."""
        extractor = open_extractor("inception", self.weights) if self.network is None else self.network
        return [FrechetInceptionDistance(extractor, protocol_name=self.protocol_name, features=self.features)]

    def add(self, sample: ClipSample) -> None:
        """Score one clip."""
        frames, target = sample.need("frames", "target_frames")
        picked = picked_frames(len(frames), self.stride)
        for metric in self.metrics:
            metric.update(frames[picked], real=False)
            if not self._real_is_known:
                metric.update(target[picked], real=True)

    def finish(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the values, and keep the moments of the real frames of all processes for the next validation."""
        super().finish(trainer, pl_module)
        for metric in self.metrics if not self._real_is_known else ():
            assert isinstance(metric, FrechetInceptionDistance)
            with metric.sync_context(dist_sync_fn=metric.dist_sync_fn):
                real = metric.moments(real=True).to("cpu")
            if real.count > 0:
                metric.load_moments(real, real=True)
                self._real_is_known = True
