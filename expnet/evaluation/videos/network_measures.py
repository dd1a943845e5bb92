"""Measures computed with a network: SyncNet, Inception, LPIPS, face recognition, and an audio-driven mouth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from expnet.config.benchmark import VideoProtocolConfig
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos.audio_driven_mouth import AudioDrivenMouth
from expnet.evaluation.videos.measures import (
    AUDIO,
    FACE,
    PORTRAIT_FACE,
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
    ExtrapolatedVideoDistance,
    FrechetInceptionDistance,
    FrechetVideoDistance,
    IdentityDistance,
    IdentitySimilarity,
    LearnedPerceptualDistance,
    SyncConfidence,
    SyncDistance,
    SyncOffset,
    SyncProtocol,
    measure_sync,
)
from expnet.metrics.functional import face_boxes
from expnet.metrics.functional.resize import inception_input
from expnet.metrics.functional.video_clips import VIDEO_PROTOCOLS, mesh_boxes
from expnet.models.dlib_recogniser import DlibRecogniser

_BATCH = 32
"""Frames in one Inception batch."""


def sync_measures(extractor: Extractor, options: VideoProtocolConfig, device: torch.device) -> list[Measure]:
    """SyncNet's confidence, distance and offset, from one measurement."""
    protocol = sync_protocol(options)
    metrics = tuple(kind(extractor, protocol_name=protocol) for kind in (SyncConfidence, SyncDistance, SyncOffset))

    def run(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.audio is not None
        boxes = None
        if video.face is not None:
            boxes = face_boxes(video.face.landmarks.masked_fill(~video.face.valid[:, None, None], torch.nan))
        frames, audio = video.frames.to(device), video.audio.to(device)
        result = measure_sync(frames, audio, extractor, protocol=protocol, boxes=boxes)
        for metric, value in zip(metrics, (result.confidence, result.distance, result.offset), strict=True):
            scores.put(metric.name, float(value))
        if result.at_edge:
            scores.remarks.append(f"SyncNet's offset {result.offset} lies at the edge of its search range")

    needs = {AUDIO, FACE} if protocol.crops else {AUDIO}
    return [Measure("Sync", metrics, frozenset(needs), run)]


def sync_protocol(options: VideoProtocolConfig) -> SyncProtocol:
    """Return the SyncNet protocol that was chosen, with what the user changes of it."""
    changes = {
        "min_track": options.sync_min_track,
        "min_size": options.sync_min_face,
        "tracks": options.sync_tracks,
    }
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    return replace(SYNC_PROTOCOLS[options.sync], **given)


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


def video_frechet_measures(extractor: Extractor, options: VideoProtocolConfig, device: torch.device) -> list[Measure]:
    """The I3D features of every video, stored for the distance between the sets."""
    metric = FrechetVideoDistance(extractor, protocol_name=options.fvd)
    extrapolated = ExtrapolatedVideoDistance(extractor, protocol_name=options.fvd)
    cut = VIDEO_PROTOCOLS[options.fvd].face

    def run(scores: Scores, video: Video, _: Video | None) -> None:
        boxes = None
        if cut:
            assert video.face is not None
            boxes = mesh_boxes(video.face.mesh)
        scores.vectors[metric.name] = metric.embed(video.frames.to(device), boxes).cpu()  # (1, 400)

    return [Measure("Image", (metric, extrapolated), frozenset({FACE} if cut else ()), run, pooled=True)]


def perceptual_measures(
    extractor: Extractor, backbone: str, options: VideoProtocolConfig, device: torch.device
) -> list[Measure]:
    """LPIPS of every frame against the real one."""
    metric = LearnedPerceptualDistance(extractor, backbone=backbone)
    return [frame_measure(metric, options.picture_stride, device)]


def identity_measures(
    extractor: Extractor, options: VideoProtocolConfig, device: torch.device, *, against_portraits: bool = False
) -> list[Measure]:
    """Does the face keep the identity of the person, in the real frame or in the portrait?"""
    metric = IdentitySimilarity(extractor, alignment=options.csim)
    seen = slice(None, None, options.picture_stride)

    def compare_frames(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        assert reference is not None
        scores.add(
            metric,
            video.frames[seen].to(device),
            reference.frames[seen].to(device),
            face.landmarks[seen].to(device),
            real.landmarks[seen].to(device),
            (face.valid & real.valid)[seen].to(device),
        )

    def compare_portrait(scores: Scores, video: Video, _: Video | None) -> None:
        face, target = faces(video, video.portrait)
        assert video.portrait is not None
        scores.add(
            metric,
            video.frames[seen].to(device),
            video.portrait.frames.to(device),
            face.landmarks[seen].to(device),
            target.landmarks.to(device),
            face.valid[seen].to(device),
        )

    if against_portraits:
        return [Measure("Image", (metric,), frozenset({FACE, PORTRAIT_FACE}), compare_portrait)]
    return [Measure("Image", (metric,), frozenset({FACE, REFERENCE_FACE}), compare_frames)]


def dlib_identity_measures(embedder: DlibRecogniser) -> list[Measure]:
    """How far is the face from the real one by dlib's network?"""
    metric = IdentityDistance(embedder)

    def run(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        assert reference is not None
        scores.add(metric, video.frames, reference.frames, face.landmarks, real.landmarks, face.valid & real.valid)

    return [Measure("Image", (metric,), frozenset({FACE, REFERENCE_FACE}), run)]
