"""LPIPS and FID in anybody's training."""

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
    """Log ``val/lpips`` (``val/lpips_vgg``, ...): perceptual distance between generated and real frames.

    Needs ``frames`` and ``target_frames``; of each clip every ``stride``-th frame is compared, the first left out.

    Args:
        weights: torchvision's weight file of the backbone, None to look where `expnet.assets.registry` does, or
            ``"random"``.
        backbone: ``alex``, ``vgg`` or ``squeeze``.
        network: to use instead of a weight file.
        stride: frames from one that is compared to the next.
        **options: for `MetricCallback`.
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
        # It has a name and a direction, but no network yet.
        self.measures = [LearnedPerceptualDistance(nn.Identity(), backbone=backbone)]

    def open(self) -> Sequence[NamedMetric]:
        """Open the backbone."""
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
    """Log ``val/fid``: distance between the distributions of generated and real frames.

    Needs ``frames`` and ``target_frames``; of each clip every ``stride``-th frame counts, the first left out. The real
    frames are looked at in the first validation only: the clips are the same in all. With the few frames of a
    validation the value is far above that of a large test set: it compares steps of one run, not systems.

    Args:
        weights: Inception's weight file, None to look where `expnet.assets.registry` does, or ``"random"``.
        protocol_name: of `FrechetInceptionDistance`.
        network: to use instead of a weight file.
        features: size of its features.
        stride: frames from one that counts to the next.
        **options: for `MetricCallback`.
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
        """Open Inception."""
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
        """Compute, and keep the real side of all processes for the next validation."""
        super().finish(trainer, pl_module)
        for metric in self.metrics if not self._real_is_known else ():
            assert isinstance(metric, FrechetInceptionDistance)
            with metric.sync_context(dist_sync_fn=metric.dist_sync_fn):
                real = metric.moments(real=True).to("cpu")
            if real.count > 0:
                metric.load_moments(real, real=True)
                self._real_is_known = True
