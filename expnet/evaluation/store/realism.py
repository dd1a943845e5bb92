"""Realism of motion, clip by clip: how much, how fast and how often a face moves, relative to the real clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from expnet.coefficients import split_pose
from expnet.errors import DataError
from expnet.evaluation.report.results import MetricInfo
from expnet.evaluation.scores import Scores, describe_metric
from expnet.evaluation.store.bilabials import bilabial_windows
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.face.morphable import MorphableModel
from expnet.metrics import (
    BilabialClosure,
    BlinkDuration,
    BlinkInterval,
    BlinkRate,
    ClipMetric,
    MotionAmountRatio,
    MotionBandRatio,
    SampleDiversityRatio,
    SampledMouthCorrelation,
)
from expnet.metrics.functional.motion_amount import BANDS, MOTION_REGIONS
from expnet.metrics.functional.motion_windows import WINDOW_REGIONS, motion_windows, region_measures

WINDOWS = "Windows of motion"
"""Heading of the metrics that compare windows, see `expnet.evaluation.store.window_table`."""
HEADINGS: dict[type[ClipMetric], str] = {
    MotionAmountRatio: "Amount of motion",
    MotionBandRatio: "Energy by frequency",
    BlinkRate: "Blinks",
    BlinkDuration: "Blinks",
    BlinkInterval: "Blinks",
    SampleDiversityRatio: "Samples",
    SampledMouthCorrelation: "Samples",
    BilabialClosure: "Lips at m, b, p",
}
"""Headings of the other metrics in the table."""
AMOUNT_REGIONS = ("lips", "jaw", "cheeks", "brows", "lids", "head")
BAND_REGIONS = ("lips", "upper_face", "head")
_CHEEK_CORNERS = ((36, 48, 2), (45, 54, 14))
"""Outer eye corner, mouth corner and jaw of each side: the cheek lies between them."""
_CHEEK_VERTICES = 8
"""Vertices of each cheek."""

Halves = tuple[Tensor, Tensor]
"""Windows (N, W, 30) of the first and of the second half of a clip, for each of N samples."""


@dataclass(frozen=True, eq=False)
class Motion:
    """N motions of one clip, as points in face space and as angles.

    Attributes:
        landmarks: (N, T, 68, 3) landmarks with the head looking straight ahead.
        cheeks: (N, T, P, 3) vertices of both cheeks.
        rotation: (M, T, 3) head angles in radians; None for a system without head motion.
        valid: (T,) boolean, the frames that were tracked in the real clip.
    """

    landmarks: Tensor
    cheeks: Tensor
    rotation: Tensor | None
    valid: Tensor

    def points(self, region: str) -> Tensor | None:
        """Return the points (N, T, L, 3) of a region; None where the system does not move it."""
        if region == "head":
            return None if self.rotation is None else self.rotation[..., None, :]
        return self.cheeks if region == "cheeks" else self.landmarks[..., list(MOTION_REGIONS[region]), :]

    def of_region(self, region: str) -> Tensor | None:
        """Return what the windows of a region are made of: landmarks, or the head's angles."""
        return self.rotation if region == "head" else self.landmarks

    def between(self, start: int, end: int) -> Motion:
        """Return the frames from ``start`` to ``end``."""
        rotation = None if self.rotation is None else self.rotation[:, start:end]
        return Motion(self.landmarks[:, start:end], self.cheeks[:, start:end], rotation, self.valid[start:end])


class RealismScorer:
    """Scores the realism of predicted motion; a system that draws several samples is scored by their mean.

    Args:
        model: The face model of the coefficients.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self.cheeks = cheek_vertices(model)
        self.amounts: tuple[MotionAmountRatio | MotionBandRatio, ...] = (
            *(MotionAmountRatio(region, measure="deviation") for region in AMOUNT_REGIONS),
            *(MotionAmountRatio(region, measure="speed") for region in AMOUNT_REGIONS),
            MotionAmountRatio("head", measure="jitter"),
            *(MotionBandRatio(region, band=band) for region in BAND_REGIONS for band in BANDS),
        )
        self.blinks: tuple[ClipMetric, ...] = (BlinkRate(), BlinkDuration(), BlinkInterval())
        self.diversity = tuple(SampleDiversityRatio(region) for region in WINDOW_REGIONS)
        self.correlations = tuple(SampledMouthCorrelation(of=of) for of in ("one", "mean"))
        self.closures = tuple(BilabialClosure(what=what) for what in ("opening", "recall", "precision"))

    @property
    def metrics(self) -> tuple[ClipMetric, ...]:
        """Every metric, in the order of the table."""
        return (*self.amounts, *self.blinks, *self.diversity, *self.correlations, *self.closures)

    def infos(self) -> tuple[MetricInfo, ...]:
        """Return what each metric means."""
        return tuple(describe_metric(metric, HEADINGS[type(metric)]) for metric in self.metrics)

    @torch.no_grad()
    def motion(self, clip: Clip, expressions: Tensor, rotations: Tensor | None) -> Motion:
        """Return the points of expressions (N, T, 64) on the clip's identity, with head rotations (M, T, 3)."""
        identity = clip.track.coefficients.identity
        if identity is None or identity.ndim != 1:
            raise DataError(f"clip {clip.clip_id} has no single identity, so its landmarks cannot be computed")
        person = torch.from_numpy(np.array(identity)).float()
        cheeks = self.model.chosen_vertices(self.cheeks, person, expressions)
        return Motion(self.model.landmarks(person, expressions), cheeks, rotations, clip.valid)

    def predicted(self, clip: Clip, prediction: Prediction) -> Motion:
        """Return every motion that a system drew for a clip."""
        return self.motion(clip, prediction.expressions, prediction.rotations)

    def real(self, clip: Clip) -> Motion:
        """Return the motion of the real clip, N = 1."""
        return self.motion(clip, clip.expression[None], split_pose(clip.pose)[0][None])

    def add(self, scores: Scores, predicted: Motion, real: Motion) -> None:
        """Add the scores of the motions drawn for one clip."""
        for metric in self.amounts:
            points, target = predicted.points(metric.region), real.points(metric.region)
            if points is not None and target is not None:
                valid = real.valid.expand(len(points), -1)
                _pool(scores, metric, *metric.score(points, target.expand_as(points), valid))
        for blink in self.blinks:
            _pool(scores, blink, *blink.score(predicted.landmarks, real.valid.expand(len(predicted.landmarks), -1)))
        for diversity in self.diversity:
            samples, takes = predicted.of_region(diversity.region), real.of_region(diversity.region)
            if samples is not None and takes is not None and len(samples) > 1:
                scores.add_whole(diversity, samples, takes[0], real.valid)
        if len(predicted.landmarks) > 1:
            for correlation in self.correlations:
                scores.add_whole(correlation, predicted.landmarks, real.landmarks[0], real.valid)

    def add_closures(self, scores: Scores, clip: Clip, predicted: Motion, real: Motion) -> None:
        """Add the closures at m, b and p, where the clip's phonemes are known."""
        windows = bilabial_windows(clip.track.phonemes, clip.frames)
        for closure in self.closures if windows else ():
            scored = [
                closure.score(landmarks, real.landmarks[0], windows, real.valid, clip.silent)
                for landmarks in predicted.landmarks
            ]
            _pool(scores, closure, *(torch.stack(column) for column in zip(*scored, strict=True)))

    def other_half(self, real: Motion) -> Scores:
        """Score the second half of a real clip as if it had been generated for the first: the yardstick of a table."""
        scores, length = Scores(), real.landmarks.shape[1] // 2
        first, second = real.between(0, length), real.between(length, 2 * length)
        both = Motion(first.landmarks, first.cheeks, first.rotation, first.valid & second.valid)
        self.add(scores, second, both)
        return scores


def windows_by_half(motion: Motion) -> dict[str, Halves]:
    """Return the windows of the first and the second half of a clip by region; each half has its own mean removed."""
    length = motion.landmarks.shape[1] // 2
    found: dict[str, Halves] = {}
    for region in WINDOW_REGIONS:
        points = motion.of_region(region)
        if points is None:
            continue
        measures = region_measures(points, region)  # (N, T, 3)
        first, second = (
            motion_windows(measures[:, start : start + length], valid=motion.valid[start : start + length])
            for start in (0, length)
        )
        found[region] = (first, second)
    return found


def cheek_vertices(model: MorphableModel) -> Tensor:
    """Return the vertices nearest to the middle of eye corner, mouth corner and jaw, eight on either side, (16,)."""
    landmarks = model.mean[model.landmark_indices]  # (68, 3)
    middles = [landmarks[list(corners)].mean(0) for corners in _CHEEK_CORNERS]
    nearest = [(model.mean - middle).norm(dim=-1).topk(_CHEEK_VERTICES, largest=False).indices for middle in middles]
    return torch.cat(nearest)


def _pool(scores: Scores, metric: ClipMetric, values: Tensor, weights: Tensor) -> None:
    """Add the weighted mean over the samples (N,) of a clip, with their mean weight."""
    kept = torch.isfinite(values) & (weights > 0)
    weight = weights[kept].sum()
    value = (values * weights)[kept].sum() / weight  # NaN without any
    scores.put(metric.name, float(value), float(weight) / len(values))
