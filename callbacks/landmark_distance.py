"""Landmark distance of validation clips."""

from __future__ import annotations

from typing import Any

from expnet.callbacks.clip_sample import ClipSample
from expnet.callbacks.metric_callback import MetricCallback
from expnet.metrics import LandmarkDistance


class LandmarkDistanceCallback(MetricCallback):
    """Log ``val/landmark_distance`` and ``val/landmark_distance_mouth``, by default in pixels of a 256-pixel crop.

    Needs ``landmarks`` and ``target_landmarks``.

    Args:
        normalisation: Normalisation of `LandmarkDistance`, which also decides the unit.
        crop_size: Side in pixels of the frames that the landmarks refer to.
        **options: Arguments of `MetricCallback`.
    """

    def __init__(self, *, normalisation: str = "centred", crop_size: float = 256.0, **options: Any) -> None:
        super().__init__(**options)
        self.measures = [
            LandmarkDistance(region=region, normalisation=normalisation, crop_size=crop_size)
            for region in ("face", "mouth")
        ]

    def add(self, sample: ClipSample) -> None:
        """Score one clip."""
        landmarks, target = sample.need("landmarks", "target_landmarks")
        valid = None if sample.valid is None else sample.valid[None]
        for metric in self.metrics:
            metric.update(landmarks[None], target[None], valid)
