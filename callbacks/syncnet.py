"""SyncNet's lip-sync scores of validation clips."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from expnet.assets.extractors import open_extractor
from expnet.callbacks.clip_sample import ClipSample
from expnet.callbacks.metric_callback import MetricCallback
from expnet.metrics import (
    Extractor,
    NamedMetric,
    SyncConfidence,
    SyncDistance,
    SyncOffset,
    UnscorableClipError,
    measure_sync,
)
from expnet.metrics.extractor import as_extractor
from expnet.metrics.functional import face_boxes

_log = logging.getLogger(__name__)


class SyncNetCallback(MetricCallback):
    """Log ``val/sync_distance`` (LSE-D), ``val/sync_confidence`` (LSE-C) and ``val/sync_offset``.

    Needs ``frames`` and ``audio``. If a sample has ``landmarks``, the protocol crops the face by them; otherwise frames
    are taken to be face crops. A clip that SyncNet cannot score, such as one of a few frames, is left out of the means
    and of the count, with a warning.

    Args:
        weights: Weight file of SyncNet. None searches as `expnet.assets.registry` does, and ``"random"`` takes random
            weights.
        protocol: A key of ``expnet.metrics.SYNC_PROTOCOLS``; ``direct`` adds no compression.
        network: Network to use instead of a weight file.
        **options: Arguments of `MetricCallback`.
    """

    measures: Sequence[NamedMetric | type[NamedMetric]] = (SyncDistance, SyncConfidence, SyncOffset)

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        protocol: str = "direct",
        network: Extractor | nn.Module | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.weights, self.protocol, self.network = weights, protocol, network

    def open(self) -> Sequence[NamedMetric]:
        """Open SyncNet once and return the three metrics that share it."""
        extractor = open_extractor("syncnet", self.weights) if self.network is None else as_extractor(self.network)
        self._sync = [
            metric(extractor, protocol_name=self.protocol) for metric in (SyncDistance, SyncConfidence, SyncOffset)
        ]
        return self._sync

    def add(self, sample: ClipSample) -> None:
        """Score one clip; a single pass through the network serves all three metrics."""
        frames, audio = sample.need("frames", "audio")
        boxes = None if sample.landmarks is None else face_boxes(sample.landmarks[..., :2])
        try:
            result = measure_sync(frames, audio, self._sync[0].extractor, protocol=self.protocol, boxes=boxes)
        except UnscorableClipError as error:
            _log.warning("Clip %s has no sync scores: %s.", sample.clip_id, error)
            result = None
        for metric in self._sync:
            metric.add(result)
