"""The metrics of a video benchmark, grouped into measures that share their computation.

A measure is taken only of clips that have what it needs; otherwise the row gives the reason.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from expnet.config.benchmark import VideoProtocolConfig
from expnet.evaluation.scores import Scores
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
from expnet.metrics.functional import audio_beats, check_image_size, image_scores
from expnet.render.reenactment import to_crop

Run = Callable[[Scores, Video, Video | None], None]
_CHUNK_PIXELS = 2**22
"""Pixels that are compared at a time; float64 planes of a whole clip would take gigabytes."""

FACE, AUDIO, REFERENCE, REFERENCE_FACE, SAME_ASPECT_RATIO, PORTRAIT_FACE = range(6)
"""What a measure may need of a clip."""


@dataclass(frozen=True, eq=False)
class Measure:
    """Metrics that are computed together.

    Attributes:
        group: The heading of their columns.
        metrics: The metrics.
        needs: What a clip must have.
        run: Scores a video against the real one.
        pooled: Whether the metric has a value only for a set of clips.
    """

    group: str
    metrics: tuple[NamedMetric, ...]
    needs: frozenset[int]
    run: Run
    pooled: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the metrics."""
        return tuple(metric.name for metric in self.metrics)

    @property
    def paired(self) -> bool:
        """Whether the video is compared with a real one; the real video itself has no such score."""
        return bool(self.needs & {REFERENCE, REFERENCE_FACE, SAME_ASPECT_RATIO})

    def lacks(self, video: Video, reference: Video | None) -> str:
        """Return what the clip lacks, as a reason; empty when it lacks nothing."""
        if FACE in self.needs and video.face is None:
            return "no face found"
        if AUDIO in self.needs and video.audio is None:
            return "no audio"
        if PORTRAIT_FACE in self.needs and video.portrait is None:
            return "no portrait"
        if PORTRAIT_FACE in self.needs and video.portrait is not None and video.portrait.face is None:
            return "no face found in the portrait"
        if self.paired and reference is None:
            return "no reference"
        if REFERENCE_FACE in self.needs and (reference is None or reference.face is None):
            return "no face found in the reference"
        if SAME_ASPECT_RATIO in self.needs and reference is not None and not same_aspect(video.size, reference.size):
            sizes = " and ".join(f"{width}x{height}" for height, width in (video.size, reference.size))
            return f"frames of different aspect ratios: {sizes}"
        return ""


def mouth_measures(options: VideoProtocolConfig) -> list[Measure]:
    """Does the mouth move as the real one does, and does it rest in silence?"""
    correlation, lag = MouthOpeningCorrelation(), MouthOpeningLag(max_lag=options.max_lag)
    silence = SilentLipMotion()

    def compare_opening(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        both = face.valid & real.valid
        scores.add(correlation, face.frontal, real.frontal, both)
        scores.add_lag(lag, face.frontal, real.frontal, both)

    def score_silence(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        scores.add(silence, video.face.frontal, video.silent, video.face.valid)

    return [
        Measure("Lips", (correlation, lag), frozenset({FACE, REFERENCE_FACE}), compare_opening),
        Measure("Lips", (silence,), frozenset({FACE, AUDIO}), score_silence),
    ]


def landmark_measures(options: VideoProtocolConfig) -> list[Measure]:
    """Landmark distance in pixels of the real face's crop, jitter, and blink rate."""
    mouth = LandmarkDistance(region="mouth", normalisation=options.landmarks)
    whole = LandmarkDistance(region="face", normalisation=options.landmarks)
    jitter, blinks = JitterRatio(), BlinkRate()

    def compare_landmarks(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        assert reference is not None
        scale = reference.size[0] / video.size[0]
        predicted, target = (to_crop(points, real.crop) for points in (face.landmarks * scale, real.landmarks))
        both = face.valid & real.valid
        scores.add(mouth, predicted, target, both)
        scores.add(whole, predicted, target, both)

    def compare_jitter(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        scores.add(jitter, face.frontal, real.frontal, face.valid & real.valid)

    def count_blinks(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        scores.add(blinks, video.face.landmarks, video.face.valid)

    return [
        Measure("Face", (mouth, whole), frozenset({FACE, REFERENCE_FACE, SAME_ASPECT_RATIO}), compare_landmarks),
        Measure("Face", (jitter,), frozenset({FACE, REFERENCE_FACE}), compare_jitter),
        Measure("Face", (blinks,), frozenset({FACE}), count_blinks),
    ]


def pose_measures(_: VideoProtocolConfig) -> list[Measure]:
    """How much and how fast does the head move, and is its motion in time with the speech?"""
    diversity = PoseDiversity()
    ratios = PoseRatio(measure="diversity"), PoseRatio(measure="speed")
    beats = BeatAlignment()

    def score_diversity(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        scores.add(diversity, video.face.rotation, video.face.valid)

    def compare_motion(scores: Scores, video: Video, reference: Video | None) -> None:
        face, real = faces(video, reference)
        for metric in ratios:
            scores.add(metric, face.rotation, real.rotation, face.valid & real.valid)

    def score_beats(scores: Scores, video: Video, _: Video | None) -> None:
        assert video.face is not None
        assert video.audio is not None
        scores.add(beats, video.face.landmarks, audio_beats(video.audio), video.face.valid)

    return [
        Measure("Head", (diversity,), frozenset({FACE}), score_diversity),
        Measure("Head", ratios, frozenset({FACE, REFERENCE_FACE}), compare_motion),
        Measure("Head", (beats,), frozenset({FACE, AUDIO}), score_beats),
    ]


def image_measures(options: VideoProtocolConfig, device: torch.device, wanted: Collection[str]) -> list[Measure]:
    """Frames compared with the real ones pixel by pixel, and their sharpness."""
    stride = options.picture_stride
    sharpness = BlurDetection()
    structure = StructuralSimilarity(variant=options.ssim)
    metrics: tuple[ClipMetric, ...] = (PeakSignalToNoiseRatio(), structure, MultiScaleStructuralSimilarity())
    shared = SharedImageScores([metric.name for metric in metrics if metric.name in wanted], options, device)

    def score_sharpness(scores: Scores, video: Video, _: Video | None) -> None:
        frames = video.frames[::stride]
        parts = ((part.to(device),) for part in frames.split(_chunk_size(frames)))
        scores.put(sharpness.name, mean_over_frames(sharpness, parts))

    paired = [
        Measure("Image", (metric,), frozenset({SAME_ASPECT_RATIO}), shared.run(metric.name)) for metric in metrics
    ]
    return [*paired, Measure("Image", (sharpness,), frozenset(), score_sharpness)]


class SharedImageScores:
    """Computes PSNR, SSIM and MS-SSIM of a video in one pass, for the first of their measures that asks.

    Args:
        names: The scores to compute, of `expnet.metrics.functional.image.IMAGE_SCORES`.
        options: The protocol, which chooses the variant of SSIM and the frames.
        device: The device to compute on.
    """

    def __init__(self, names: Sequence[str], options: VideoProtocolConfig, device: torch.device) -> None:
        self.names, self.variant, self.stride, self.device = tuple(names), options.ssim, options.picture_stride, device
        self._pair: tuple[Callable[[], Video | None], ...] = ()
        self._scores: dict[str, float] = {}

    def run(self, name: str) -> Run:
        """Return what scores a video by one of the metrics."""

        def score(scores: Scores, video: Video, reference: Video | None) -> None:
            assert reference is not None
            check_image_size(name, *reference.size, variant=self.variant)
            if not self._pair or [known() for known in self._pair] != [video, reference]:
                self._scores = self._compute(video, reference)
                self._pair = (weakref.ref(video), weakref.ref(reference))
            scores.put(name, self._scores[name])

        return score

    def _compute(self, video: Video, reference: Video) -> dict[str, float]:
        """Return the mean over frames of every score for which the frames are large enough."""
        names = [name for name in self.names if _is_large_enough(name, reference, self.variant)]
        totals, count = dict.fromkeys(names, 0.0), 0
        for part in _paired_chunks(video.frames[:: self.stride], reference.frames[:: self.stride], self.device):
            for name, values in image_scores(*part, names=names, variant=self.variant).items():
                totals[name] += float(values.sum())
            count += len(part[0])
        return {name: total / count for name, total in totals.items()}


def _is_large_enough(name: str, video: Video, variant: str) -> bool:
    try:
        check_image_size(name, *video.size, variant=variant)
    except ValueError:
        return False
    return True


def frame_measure(metric: ClipMetric, stride: int, device: torch.device) -> Measure:
    """Return the mean of a metric over frames that are compared with the real ones, a few at a time.

    Args:
        metric: A metric whose ``score`` takes predicted and target frames (B, T, 3, H, W).
        stride: Every ``stride``-th frame is scored.
        device: The device to compute on.
    """

    def run(scores: Scores, video: Video, reference: Video | None) -> None:
        assert reference is not None
        pairs = _paired_chunks(video.frames[::stride], reference.frames[::stride], device)
        scores.put(metric.name, mean_over_frames(metric, pairs))

    return Measure("Image", (metric,), frozenset({SAME_ASPECT_RATIO}), run)


def mean_over_frames(metric: ClipMetric, parts: Iterable[tuple[Tensor, ...]]) -> float:
    """Return the mean over the frames of a clip, given in parts (N, ...) that are scored as clips (1, N, ...)."""
    total, count = 0.0, 0
    for part in parts:
        value, _ = metric.score(*(tensor[None] for tensor in part))
        total, count = total + float(value) * len(part[0]), count + len(part[0])
    return total / count


def _chunk_size(frames: Tensor) -> int:
    """Return how many frames of (N, 3, H, W) are processed at a time."""
    return max(_CHUNK_PIXELS // (frames.shape[-2] * frames.shape[-1]), 1)


def faces(video: Video, reference: Video | None) -> tuple[Face, Face]:
    """Return the two faces of a pair whose needs were checked."""
    assert video.face is not None
    assert reference is not None
    assert reference.face is not None
    return video.face, reference.face


def _paired_chunks(frames: Tensor, target: Tensor, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of a few frames on the device, the first resized to the size of the second."""
    size = target.shape[-2], target.shape[-1]
    for first, second in zip(frames.split(_chunk_size(target)), target.split(_chunk_size(target)), strict=True):
        yield resize_frames(first.to(device), size), second.to(device)


def resize_frames(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize uint8 frames (N, 3, H, W) to (height, width) bilinearly with antialiasing, and round."""
    if tuple(frames.shape[-2:]) == size:
        return frames
    scaled = interpolate(frames.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
    return scaled.round().clamp(0, 255).to(torch.uint8)
