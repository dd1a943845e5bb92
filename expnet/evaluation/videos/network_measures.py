"""Measures computed with a network: SyncNet, Inception, LPIPS, face recognition, and an audio-driven mouth."""

from __future__ import annotations

import torch

from expnet.config.benchmark import VideoProtocolConfig
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos.audio_driven_mouth import AudioDrivenMouth
from expnet.evaluation.videos.measures import (
    AUDIO,
    FACE,
    REFERENCE_FACE,
    Measure,
    faces,
    frame_measure,
)
from expnet.evaluation.videos.reader import Video
from expnet.metrics import (
    SYNC_PROTOCOLS,
    AudioMouthCorrelation,
    AudioMouthLag,
    Extractor,
    FrechetInceptionDistance,
    IdentitySimilarity,
    LearnedPerceptualDistance,
    SyncConfidence,
    SyncDistance,
    SyncOffset,
    measure_sync,
)
from expnet.metrics.functional import face_boxes
from expnet.metrics.functional.resize import inception_input

_BATCH = 32
"""Frames in one Inception batch."""


def sync_measures(extractor: Extractor, options: VideoProtocolConfig, device: torch.device) -> list[Measure]:
    """SyncNet's confidence, distance and offset, from one measurement."""
    metrics = (
        SyncConfidence(extractor, protocol_name=options.sync),
        SyncDistance(extractor, protocol_name=options.sync),
        SyncOffset(extractor, protocol_name=options.sync),
    )

    def run(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.audio is not None
        boxes = None
        if video.face is not None:
            boxes = face_boxes(video.face.landmarks.masked_fill(~video.face.valid[:, None, None], torch.nan))
        frames, audio = video.frames.to(device), video.audio.to(device)
        result = measure_sync(frames, audio, extractor, protocol=options.sync, boxes=boxes)
        for metric, value in zip(metrics, (result.confidence, result.distance, result.offset), strict=True):
            scores.put(metric.name, float(value))
        if result.at_edge:
            scores.remarks.append(f"SyncNet's offset {result.offset} lies at the edge of its search range")

    needs = {AUDIO, FACE} if SYNC_PROTOCOLS[options.sync].crops else {AUDIO}
    return [Measure("Sync", metrics, frozenset(needs), run)]


def audio_mouth_measures(predictor: AudioDrivenMouth, _: VideoProtocolConfig) -> list[Measure]:
    """Does the mouth open when the audio says so? This needs neither a real clip nor downloaded weights."""
    correlation, lag = AudioMouthCorrelation(network=predictor.name), AudioMouthLag(network=predictor.name)

    def run(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        predicted = predictor(video)
        scores.add(correlation, video.face.frontal, predicted, video.face.valid)
        scores.add_lag(lag, video.face.frontal, predicted, video.face.valid)

    return [Measure("Sync", (correlation, lag), frozenset({FACE, AUDIO}), run)]


def frechet_measures(extractor: Extractor, options: VideoProtocolConfig, device: torch.device) -> list[Measure]:
    """The Inception features of every frame, stored for the distance between the sets."""
    metric = FrechetInceptionDistance(extractor, protocol_name=options.fid)

    def run(scores: Scores, video: Video, _: Video | None) -> None:
        parts = video.frames[:: options.picture_stride].split(_BATCH)
        features = [extractor(inception_input(part.to(device), options.fid)).cpu() for part in parts]
        scores.features = torch.cat(features)  # (N, 2048)

    return [Measure("Image", (metric,), frozenset(), run, pooled=True)]


def perceptual_measures(
    extractor: Extractor, backbone: str, options: VideoProtocolConfig, device: torch.device
) -> list[Measure]:
    """LPIPS of every frame against the real one."""
    metric = LearnedPerceptualDistance(extractor, backbone=backbone)
    return [frame_measure(metric, options.picture_stride, device)]


def identity_measures(extractor: Extractor, options: VideoProtocolConfig, device: torch.device) -> list[Measure]:
    """Does the face keep the identity of the person?"""
    metric = IdentitySimilarity(extractor, alignment=options.csim)

    def run(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        assert reference is not None
        seen = slice(None, None, options.picture_stride)
        scores.add(
            metric,
            video.frames[seen].to(device),
            reference.frames[seen].to(device),
            face.landmarks[seen].to(device),
            real.landmarks[seen].to(device),
            (face.valid & real.valid)[seen].to(device),
        )

    return [Measure("Image", (metric,), frozenset({FACE, REFERENCE_FACE}), run)]
