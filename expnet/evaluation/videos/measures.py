"""The metrics of a benchmark, in families that share their work, each with what it needs of a clip.

A family runs only where its needs are met; where they are not, the row says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from expnet.config.benchmark import VideoProtocolConfig
from expnet.evaluation.store.scoring import Scores, to_crop
from expnet.evaluation.videos.reader import Face, Video, same_aspect
from expnet.metrics import (
    BeatAlignment,
    BlinkRate,
    BlurDetection,
    ClipMetric,
    JitterRatio,
    LandmarkDistance,
    MouthOpeningCorrelation,
    MouthOpeningLag,
    MultiScaleStructuralSimilarity,
    NamedMetric,
    PeakSignalToNoiseRatio,
    PoseDiversity,
    PoseRatio,
    SilentLipMotion,
    StructuralSimilarity,
)
from expnet.metrics.functional import audio_beats

Run = Callable[[Scores, Video, Video | None], None]
_CHUNK_PIXELS = 2**22
"""Pixels of pictures compared at a time: float64 planes of a whole clip would take gigabytes."""

FACE, SOUND, REFERENCE, REFERENCE_FACE, SAME_PICTURE = range(5)


@dataclass(frozen=True, eq=False)
class Measure:
    """Metrics that are computed together.

    Attributes:
        group: heading of their columns.
        metrics: them.
        needs: what a clip must have.
        run: scores a video beside the real one.
        pooled: the metric has no value for a single clip.
    """

    group: str
    metrics: tuple[NamedMetric, ...]
    needs: frozenset[int]
    run: Run
    pooled: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the metrics."""
        return tuple(metric.name for metric in self.metrics)

    @property
    def paired(self) -> bool:
        """Whether a real video is compared with: the real video itself has no such number."""
        return bool(self.needs & {REFERENCE, REFERENCE_FACE, SAME_PICTURE})

    def lacks(self, video: Video, reference: Video | None) -> str:
        """What is missing, as a reason; empty when nothing is."""
        if FACE in self.needs and video.face is None:
            return "no face found"
        if SOUND in self.needs and video.audio is None:
            return "no sound"
        if self.paired and reference is None:
            return "no reference"
        if REFERENCE_FACE in self.needs and (reference is None or reference.face is None):
            return "no face found in the reference"
        if SAME_PICTURE in self.needs and reference is not None and not same_aspect(video.size, reference.size):
            sizes = " and ".join(f"{width}x{height}" for height, width in (video.size, reference.size))
            return f"pictures of other shapes: {sizes}"
        return ""


def mouth_measures(options: VideoProtocolConfig) -> list[Measure]:
    """Does the mouth move as the real one does, and rest in silence."""
    correlation, lag = MouthOpeningCorrelation(), MouthOpeningLag(max_lag=options.max_lag)
    silence = SilentLipMotion()

    def follow(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        both = face.valid & real.valid
        scores.add(correlation, face.frontal, real.frontal, both)
        scores.add_lag(lag, face.frontal, real.frontal, both)

    def rest(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        scores.add(silence, video.face.frontal, video.silent, video.face.valid)

    return [
        Measure("Lips", (correlation, lag), frozenset({FACE, REFERENCE_FACE}), follow),
        Measure("Lips", (silence,), frozenset({FACE, SOUND}), rest),
    ]


def landmark_measures(options: VideoProtocolConfig) -> list[Measure]:
    """Where the landmarks are, in pixels of the real face's crop, how they tremble, and how often the eyes close."""
    mouth = LandmarkDistance(region="mouth", normalisation=options.landmarks)
    whole = LandmarkDistance(region="face", normalisation=options.landmarks)
    jitter, blinks = JitterRatio(), BlinkRate()

    def place(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        assert reference is not None
        scale = reference.size[0] / video.size[0]
        predicted, target = (to_crop(points, real.crop) for points in (face.landmarks * scale, real.landmarks))
        both = face.valid & real.valid
        scores.add(mouth, predicted, target, both)
        scores.add(whole, predicted, target, both)

    def tremble(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        scores.add(jitter, face.frontal, real.frontal, face.valid & real.valid)

    def blink(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        scores.add(blinks, video.face.landmarks, video.face.valid)

    return [
        Measure("Face", (mouth, whole), frozenset({FACE, REFERENCE_FACE, SAME_PICTURE}), place),
        Measure("Face", (jitter,), frozenset({FACE, REFERENCE_FACE}), tremble),
        Measure("Face", (blinks,), frozenset({FACE}), blink),
    ]


def pose_measures(_: VideoProtocolConfig) -> list[Measure]:
    """How much and how fast the head turns, and whether in time with the speech."""
    diversity = PoseDiversity()
    ratios = PoseRatio(measure="diversity"), PoseRatio(measure="speed")
    beats = BeatAlignment()

    def turn(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        scores.add(diversity, video.face.rotation, video.face.valid)

    def compare(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        for metric in ratios:
            scores.add(metric, face.rotation, real.rotation, face.valid & real.valid)

    def keep_time(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        assert video.audio is not None
        scores.add(beats, video.face.landmarks, audio_beats(video.audio), video.face.valid)

    return [
        Measure("Head", (diversity,), frozenset({FACE}), turn),
        Measure("Head", ratios, frozenset({FACE, REFERENCE_FACE}), compare),
        Measure("Head", (beats,), frozenset({FACE, SOUND}), keep_time),
    ]


def picture_measures(options: VideoProtocolConfig, device: torch.device) -> list[Measure]:
    """Pictures compared with the real ones pixel by pixel, and how sharp they are by themselves."""
    stride = options.picture_stride
    sharpness = BlurDetection()
    structure = StructuralSimilarity(variant=options.ssim)
    metrics = (PeakSignalToNoiseRatio(), structure, MultiScaleStructuralSimilarity())

    def look(scores: Scores, video: Video, _: Video | None) -> None:
        frames = video.frames[::stride]
        scores.put(sharpness.name, mean_over(sharpness, ((part.to(device),) for part in frames.split(step(frames)))))

    paired = [frame_measure(metric, stride, device) for metric in metrics]
    return [*paired, Measure("Picture", (sharpness,), frozenset(), look)]


def frame_measure(metric: ClipMetric, stride: int, device: torch.device) -> Measure:
    """A mean over frames that are compared with the real ones, a few at a time.

    Args:
        metric: whose ``score`` takes predicted and target frames (B, T, 3, H, W).
        stride: every so many-th frame is looked at.
        device: where.
    """

    def run(scores: Scores, video: Video, reference: Video | None) -> None:
        assert reference is not None
        parts = chunks(video.frames[::stride], reference.frames[::stride], device)
        scores.put(metric.name, mean_over(metric, parts))

    return Measure("Picture", (metric,), frozenset({SAME_PICTURE}), run)


def mean_over(metric: ClipMetric, parts: Iterable[tuple[Tensor, ...]]) -> float:
    """Mean over the frames of a clip that comes in parts (N, ...), which the metric takes as clips (1, N, ...)."""
    total, count = 0.0, 0
    for part in parts:
        value, _ = metric.score(*(tensor[None] for tensor in part))
        total, count = total + float(value) * len(part[0]), count + len(part[0])
    return total / count


def step(frames: Tensor) -> int:
    """Frames (N, 3, H, W) that are worked on at a time."""
    return max(_CHUNK_PIXELS // (frames.shape[-2] * frames.shape[-1]), 1)


def faces(video: Video, reference: Video | None) -> tuple[Face, Face]:
    """The two faces of a pair whose needs were looked at."""
    assert video.face is not None
    assert reference is not None
    assert reference.face is not None
    return video.face, reference.face


def chunks(frames: Tensor, target: Tensor, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of a few frames each on a device, the first resized to the second."""
    size = target.shape[-2], target.shape[-1]
    for first, second in zip(frames.split(step(target)), target.split(step(target)), strict=True):
        yield resized(first.to(device), size), second.to(device)


def resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize uint8 pictures (N, 3, H, W) to (height, width): bilinear, antialiased, rounded."""
    if tuple(frames.shape[-2:]) == size:
        return frames
    scaled = interpolate(frames.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
    return scaled.round().clamp(0, 255).to(torch.uint8)
