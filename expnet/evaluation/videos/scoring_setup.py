"""What a video benchmark scores with: measures whose weights were found, and the protocol that they define."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from expnet.assets.extractors import has_random_weights, open_extractor
from expnet.audio.voice_activity import VoiceActivityDetector
from expnet.config.benchmark import METRIC_KEYS, VideoBenchmarkConfig
from expnet.errors import ConfigError, MissingAssetError
from expnet.evaluation.protocol import VIDEO_RULES, model_fingerprint
from expnet.evaluation.report.results import MetricInfo
from expnet.evaluation.scores import describe_metric
from expnet.evaluation.videos.audio_driven_mouth import AudioDrivenMouth
from expnet.evaluation.videos.expression_measures import deep3d_expression_measures, own_expression_measures
from expnet.evaluation.videos.measures import (
    Measure,
    image_measures,
    landmark_measures,
    mouth_measures,
    pose_measures,
)
from expnet.evaluation.videos.network_measures import (
    audio_mouth_measures,
    dlib_identity_measures,
    frechet_measures,
    identity_measures,
    perceptual_measures,
    sync_measures,
    video_frechet_measures,
)
from expnet.evaluation.videos.reader import VideoReader
from expnet.evaluation.videos.scorer import GivenInputs, VideoScorer
from expnet.evaluation.videos.theval_measures import (
    SPEECH_KEYS,
    closeness_measures,
    theval_motion_measures,
    theval_speech_measures,
)
from expnet.face.morphable import MorphableModel
from expnet.metrics import Extractor
from expnet.models.dlib_recogniser import DlibRecogniser

LPIPS = (
    ("lpips", "lpips_alex", "alex"),
    ("lpips_vgg", "lpips_vgg", "vgg"),
    ("lpips_squeeze", "lpips_squeeze", "squeeze"),
)
"""The metric key, the weights and the backbone of each LPIPS variant."""


@dataclass(frozen=True, eq=False)
class ScoringSetup:
    """Everything that scoring clips needs.

    Attributes:
        scorer: Scores one clip.
        measures: The measures of the wanted metrics whose weights are available.
        notes: Which metrics are left out and how to get their weights, and which weights are random.
        protocol: What must be equal for scores to be comparable.
        checksums: The SHA-256 of each weight file, by name.
    """

    scorer: VideoScorer
    measures: tuple[Measure, ...]
    notes: tuple[str, ...]
    protocol: dict[str, Any]
    checksums: dict[str, str]

    def infos(self) -> tuple[MetricInfo, ...]:
        """Return what each column means, in the order of the table."""
        groups = {metric.name: (metric, measure.group) for measure in self.measures for metric in measure.metrics}
        ordered = [groups[key] for key in METRIC_KEYS if key in groups and key in self.scorer.wanted]
        return tuple(describe_metric(metric, group) for metric, group in ordered)


def open_scoring_setup(config: VideoBenchmarkConfig, device: torch.device) -> ScoringSetup:
    """Open the tracker, the face model and every network that the wanted metrics need.

    Raises:
        ConfigError: CSIM compares with portraits, and there are none.
        MissingAssetError: Weights are missing and ``strict`` is set.
        InputError: The tracker, the face model or a weight file cannot be used.
    """
    if config.against_portraits and config.portraits is None and config.reference is None:
        raise ConfigError("protocol.csim_against=portrait needs portraits=DIR, or reference=DIR for its first frames.")
    reader = VideoReader(
        tracker=config.tracker,
        face_model=config.face_model,
        seconds=config.protocol.seconds,
        first_frame=config.protocol.first_frame,
    )
    opener = _NetworkOpener(config)
    measures = [measure for family in _families(config, opener, reader.model, device) for measure in family]
    # Without real clips every row would only repeat that a paired metric has no reference.
    measures = [m for m in measures if _has_what_it_compares_with(m, config)]
    measures = [measure for measure in measures if set(config.wanted) & set(measure.keys)]
    metrics = [metric for measure in measures for metric in measure.metrics if metric.name in config.wanted]
    protocol = {
        "rules": dict(VIDEO_RULES),
        "metrics": {metric.name: metric.protocol for metric in metrics},
        "face_model": model_fingerprint(reader.model),
        "tracker": reader.tracker.models.name_in_protocol,
        "seconds": config.protocol.seconds,
        "picture_stride": config.protocol.picture_stride,
        **_input_rules(config),
    }
    inputs = GivenInputs(config.audio is not None, config.dubbed, config.against_portraits)
    scorer = VideoScorer(reader, measures, config.wanted, inputs)
    return ScoringSetup(scorer, tuple(measures), tuple(opener.notes), protocol, opener.checksums)


def _has_what_it_compares_with(measure: Measure, config: VideoBenchmarkConfig) -> bool:
    """Return whether there are real videos for a measure that needs them, in pairs or as a set."""
    if measure.paired:
        return config.reference is not None
    return config.real_videos is not None if measure.pooled else True


def _input_rules(config: VideoBenchmarkConfig) -> dict[str, Any]:
    """Return the rules on parts of clips, unpaired clips, given audio and portraits; none for what is usual."""
    rules: dict[str, Any] = {}
    if config.protocol.first_frame:
        rules["first_frame"] = config.protocol.first_frame
    if config.protocol.part_seconds:
        rules["part_seconds"] = config.protocol.part_seconds
    if config.reference_set is not None:
        rules["real clips"] = "a set that is not paired with the systems' clips"
    if config.audio is not None:
        rules["audio"] = "given, for the systems alone" if config.dubbed else "given"
    if config.against_portraits:
        given, first = "the portrait given for the clip", "the first frame of the real clip"
        rules["csim against"] = given if config.reference is None else f"{given}, else {first}"
    return rules


class _NetworkOpener:
    """Opens networks by kind, and records notes about them and their checksums."""

    def __init__(self, config: VideoBenchmarkConfig) -> None:
        self.config = config
        self.notes: list[str] = []
        self.checksums: dict[str, str] = {}

    def with_network(
        self, kind: str, keys: Sequence[str], build: Callable[[Extractor], list[Measure]]
    ) -> list[Measure]:
        """Return measures that need one network; none if no key is wanted or the weights are missing."""
        return self.unless_missing(keys, lambda: build(self._extractor(kind)))

    def unless_missing(self, keys: Sequence[str], build: Callable[[], list[Measure]]) -> list[Measure]:
        """Return the measures, or none and a note where their weights are missing."""
        asked = [key for key in keys if key in self.config.wanted]
        try:
            return build() if asked else []
        except MissingAssetError as error:
            if self.config.strict:
                raise
            self.notes.append(f"Not scored because weights are missing: {error}")
            return []

    def _extractor(self, kind: str) -> Extractor:
        extractor = open_extractor(kind, self.config.assets.get(kind))
        self.checksums[extractor.name] = extractor.checksum or "none"
        if has_random_weights(extractor):
            self.notes.append(
                f"RANDOM WEIGHTS: {kind} ran with random weights, for trying things out; its scores mean nothing."
            )
        return extractor


def _families(
    config: VideoBenchmarkConfig, opener: _NetworkOpener, model: MorphableModel, device: torch.device
) -> list[list[Measure]]:
    """Return every family of measures whose weights are available."""
    options = config.protocol
    audio_mouth = ("audio_mouth_correlation", "audio_mouth_lag")
    identity: dict[str, Any] = {
        "options": options,
        "device": device,
        "against_portraits": config.against_portraits,
    }
    sync = ("sync_confidence", "sync_distance", "sync_offset")
    return [
        opener.with_network("syncnet", sync, lambda network: sync_measures(network, options, device)),
        opener.unless_missing(
            audio_mouth, lambda: audio_mouth_measures(AudioDrivenMouth(model, config.expression), options)
        ),
        mouth_measures(options),
        landmark_measures(options),
        opener.with_network(
            "i3d", ("fvd", "fvd_extrapolated"), lambda network: video_frechet_measures(network, options, device)
        ),
        opener.with_network("inception", ("fid",), lambda network: frechet_measures(network, options, device)),
        *(
            opener.with_network(
                kind, (key,), partial(perceptual_measures, backbone=backbone, options=options, device=device)
            )
            for key, kind, backbone in LPIPS
        ),
        image_measures(options, device, config.wanted),
        opener.with_network("recogniser", ("csim",), partial(identity_measures, **identity)),
        opener.unless_missing(("identity_distance_dlib",), lambda: dlib_identity_measures(DlibRecogniser())),
        pose_measures(options),
        theval_motion_measures(),
        closeness_measures(),
        own_expression_measures(model_fingerprint(model)),
        opener.with_network("deep3d", ("e_fid",), deep3d_expression_measures),
        opener.unless_missing(SPEECH_KEYS, lambda: theval_speech_measures(VoiceActivityDetector())),
    ]
