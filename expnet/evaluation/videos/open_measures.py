"""The measures of a benchmark, opened: weights found or their lack noted, and the protocol that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from expnet.assets.extractors import has_random_weights, open_extractor
from expnet.config.benchmark import METRIC_KEYS, VideoBenchmarkConfig
from expnet.errors import MissingAssetError
from expnet.evaluation.report.results import MetricInfo
from expnet.evaluation.store.scoring import model_fingerprint
from expnet.evaluation.videos.audio_driven_mouth import MouthListener
from expnet.evaluation.videos.measures import (
    Measure,
    landmark_measures,
    mouth_measures,
    picture_measures,
    pose_measures,
)
from expnet.evaluation.videos.network_measures import (
    frechet_measures,
    identity_measures,
    listening_measures,
    perceptual_measures,
    sync_measures,
)
from expnet.evaluation.videos.reader import VideoReader
from expnet.evaluation.videos.scorer import VideoScorer
from expnet.face.morphable import MorphableModel
from expnet.metrics import Extractor, NamedMetric

RULES = {
    "frames": "25 a second by time stamps, sound 16 kHz mono; a video is cut to the length of the real one",
    "sound": "the video's own; the real one's where it has none",
    "mouth opening, jitter": "landmarks of the face model fitted to the tracked points, head straight ahead: a nod "
    "alone must not open a mouth",
    "landmark distance": "tracked landmarks of both videos in the crop of the real face at 256 pixels",
    "pictures": "whole frames; a video of another size but the same shape is resized to the real one's for the paired "
    "metrics (bilinear, antialiased), and scored as it is by the others",
    "silence": "audio 30 dB below the clip's loud level, 3 frames of margin",
    "real clips": "their paired metrics are left out: compared with themselves they are perfect",
}

LPIPS = (
    ("lpips", "lpips_alex", "alex"),
    ("lpips_vgg", "lpips_vgg", "vgg"),
    ("lpips_squeeze", "lpips_squeeze", "squeeze"),
)
"""Metric, weights and backbone of each LPIPS."""


@dataclass(frozen=True, eq=False)
class Toolbox:
    """What scores clips.

    Attributes:
        scorer: of one clip.
        measures: of the wanted metrics whose weights are there.
        notes: which metrics are left out, and how to get their weights; which weights are random.
        protocol: what must be equal for scores to be comparable.
        checksums: SHA-256 of each weight file, by name.
    """

    scorer: VideoScorer
    measures: tuple[Measure, ...]
    notes: tuple[str, ...]
    protocol: dict[str, Any]
    checksums: dict[str, str]

    def infos(self) -> tuple[MetricInfo, ...]:
        """What each column means, in the order of the table."""
        groups = {metric.name: (metric, measure.group) for measure in self.measures for metric in measure.metrics}
        ordered = [groups[key] for key in METRIC_KEYS if key in groups and key in self.scorer.wanted]
        return tuple(_info(metric, group) for metric, group in ordered)


def open_toolbox(config: VideoBenchmarkConfig, device: torch.device) -> Toolbox:
    """Open the tracker, the face model and every network that the wanted metrics look through.

    Raises:
        MissingAssetError: weights are missing and ``strict`` is set.
        InputError: the tracker, the face model or a weight file cannot be used.
    """
    reader = VideoReader(tracker=config.tracker, face_model=config.face_model, seconds=config.protocol.seconds)
    found = _Opener(config)
    measures = [measure for family in _families(config, found, reader.model, device) for measure in family]
    # Without real clips nothing can be compared with them, and every row would only say so again.
    measures = [m for m in measures if config.reference is not None or not (m.paired or m.pooled)]
    measures = [measure for measure in measures if set(config.wanted) & set(measure.keys)]
    metrics = [metric for measure in measures for metric in measure.metrics if metric.name in config.wanted]
    protocol = {
        "rules": RULES,
        "metrics": {metric.name: metric.protocol for metric in metrics},
        "face_model": model_fingerprint(reader.model),
        "tracker": config.tracker,
        "seconds": config.protocol.seconds,
        "picture_stride": config.protocol.picture_stride,
    }
    scorer = VideoScorer(reader, measures, config.wanted)
    return Toolbox(scorer, tuple(measures), tuple(found.notes), protocol, found.checksums)


class _Opener:
    """Opens networks by kind, and remembers what it found."""

    def __init__(self, config: VideoBenchmarkConfig) -> None:
        self.config = config
        self.notes: list[str] = []
        self.checksums: dict[str, str] = {}

    def family(self, kind: str, keys: Sequence[str], build: Callable[[Extractor], list[Measure]]) -> list[Measure]:
        """The measures that look through one network; none where nobody wants them or the weights are missing."""
        return self.unless_missing(keys, lambda: build(self._extractor(kind)))

    def unless_missing(self, keys: Sequence[str], build: Callable[[], list[Measure]]) -> list[Measure]:
        """The measures; none, and a note, where their weights are missing."""
        asked = [key for key in keys if key in self.config.wanted]
        try:
            return build() if asked else []
        except MissingAssetError as error:
            if self.config.strict:
                raise
            self.notes.append(f"Not scored, for want of weights: {error}")
            return []

    def _extractor(self, kind: str) -> Extractor:
        extractor = open_extractor(kind, self.config.assets.get(kind))
        self.checksums[extractor.name] = extractor.checksum or "none"
        if has_random_weights(extractor):
            self.notes.append(
                f"RANDOM WEIGHTS: {kind} was run with random weights to try things out; what it scored means nothing."
            )
        return extractor


def _families(
    config: VideoBenchmarkConfig, found: _Opener, model: MorphableModel, device: torch.device
) -> list[list[Measure]]:
    """Every family of measures whose weights are there."""
    options = config.protocol
    listening = ("audio_mouth_correlation", "audio_mouth_lag")
    sync = ("sync_confidence", "sync_distance", "sync_offset")
    return [
        found.family("syncnet", sync, lambda network: sync_measures(network, options, device)),
        found.unless_missing(listening, lambda: listening_measures(MouthListener(model, config.expression), options)),
        mouth_measures(options),
        landmark_measures(options),
        found.family("inception", ("fid",), lambda network: frechet_measures(network, options, device)),
        *(
            found.family(kind, (key,), partial(perceptual_measures, backbone=backbone, options=options, device=device))
            for key, kind, backbone in LPIPS
        ),
        picture_measures(options, device),
        found.family("recogniser", ("csim",), lambda network: identity_measures(network, options, device)),
        pose_measures(options),
    ]


def _info(metric: NamedMetric, group: str) -> MetricInfo:
    return MetricInfo(
        key=metric.name,
        title=metric.title,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        ideal=metric.ideal,
        group=group,
        explanation=metric.explanation,
        protocol=metric.protocol,
    )
