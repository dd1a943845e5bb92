"""Scores of facial motion in face space: the columns of a comparison on left-out speakers.

All points are the 68 landmarks of the face model with the clip's own identity and the head looking straight ahead, so
no score depends on head motion. Distances are in percent of the distance between the outer eye corners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from expnet.audio.speech_synthesis import Phoneme
from expnet.evaluation.scores import Scores
from expnet.evaluation.store.bilabials import bilabial_windows
from expnet.evaluation.store.clips import Clip
from expnet.face.morphable import MorphableModel
from expnet.metrics import (
    BlinkRate,
    JitterRatio,
    LandmarkDistance,
    MouthOpeningCorrelation,
    MouthOpeningLag,
    SilentLipMotion,
    WithinClipR2,
)
from expnet.metrics.functional import lip_closure, motion_amount_ratio, mouth_opening
from expnet.metrics.functional.motion_amount import MOTION_REGIONS

PERCENT = 100.0
LAST = 50
"""Frames at the end of a clip (two seconds, at most half of it) over which the mean face is taken for its drift."""
STILL_POINTS = (*range(4), *range(13, 17), *range(27, 36), 36, 39, 42, 45)
"""Landmarks that speech hardly moves (upper jaw line, nose, eye corners) and that therefore show identity."""


Better = Literal["more", "less", "real"]


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        key: Key in files.
        title: Title in the table.
        better: Whether more, less, or a value near that of the real clips is better.
        digits: Number of decimals.
    """

    key: str
    title: str
    better: Better
    digits: int = 3


COLUMNS = (
    Column("mouth_opening_correlation", "mouth-opening correlation", "more"),
    Column("mouth_opening_lag", "lag, frames", "real", 0),
    Column("within_clip_r2", "within-clip R2", "more"),
    Column("opening_deviation_ratio", "opening std over real", "real", 2),
    Column("landmark_distance_mouth_percent", "mouth distance, %", "less", 2),
    Column("landmark_distance_percent", "face distance, %", "less", 2),
    Column("lip_closure_opening", "opening at m, b, p", "real", 2),
    Column("lip_closure_recall", "closures found", "more", 2),
    Column("lip_closure_precision", "closures right", "more", 2),
    Column("silent_lip_motion_percent", "lip motion in silence, %", "real", 2),
    Column("jitter_ratio", "jitter against real", "real", 2),
    Column("brow_motion_ratio", "brow motion over real", "real", 2),
    Column("blink_rate", "blinks a minute", "real", 1),
    Column("identity_drift", "drift of identity, %", "real", 2),
    Column("style_drift", "drift from first frame, %", "real", 2),
)


class MotionScorer:
    """Scores predicted facial motion, clip by clip.

    Args:
        face: The face model of the coefficients.
        max_lag: Largest lag of the mouth, in frames in either direction.
    """

    def __init__(self, face: MorphableModel, *, max_lag: int = 5) -> None:
        self.face = face
        self.correlation = MouthOpeningCorrelation()
        self.lag = MouthOpeningLag(max_lag=max_lag)
        self.r2 = WithinClipR2(metric=face.expression_metric, metric_name=f"{face.name} basis")
        self.distances = tuple(LandmarkDistance(region=r, normalisation="interocular") for r in ("mouth", "face"))
        self.silence, self.jitter, self.blinks = SilentLipMotion(), JitterRatio(), BlinkRate()

    @torch.no_grad()
    def score(self, clip: Clip, expression: Tensor, phonemes: Sequence[Phoneme] = ()) -> Scores:
        """Score a predicted expression (T, E) of a clip, with the phonemes of its speech where they are known."""
        scores, valid = Scores(), clip.valid
        identity = torch.as_tensor(clip.track.coefficients.identity).float()
        predicted, target = (self.face.landmarks(identity, values) for values in (expression, clip.expression))
        scores.add(self.correlation, predicted, target, valid)
        scores.add_lag(self.lag, predicted, target, valid)
        scores.add(self.r2, expression, clip.expression, valid)
        for metric in self.distances:
            _put_percent(scores, metric, predicted, target, valid)
        _put_percent(scores, self.silence, predicted, clip.silent, valid)
        scores.add(self.jitter, predicted, target, valid)
        openings = [mouth_opening(points)[:, None, None] for points in (predicted, target)]  # (T, 1, 1)
        brows = [points[:, list(MOTION_REGIONS["brows"])] for points in (predicted, target)]  # (T, 10, 3)
        for key, points in (("opening_deviation_ratio", openings), ("brow_motion_ratio", brows)):
            ratio, weight = motion_amount_ratio(*points, measure="deviation", valid=valid)
            scores.put(key, float(ratio), float(weight))
        scores.add(self.blinks, predicted, valid)
        self._add_closures(scores, clip, predicted, target, phonemes)
        identity_drift, style_drift = drifts(predicted, target[0], valid)
        scores.put("identity_drift", identity_drift)
        scores.put("style_drift", style_drift)
        return scores

    def _add_closures(
        self, scores: Scores, clip: Clip, predicted: Tensor, target: Tensor, phonemes: Sequence[Phoneme]
    ) -> None:
        """Add the scores at bilabials; a clip is weighted by the number of events that it contributes."""
        found = lip_closure(
            mouth_opening(predicted),
            mouth_opening(target),
            bilabial_windows(phonemes, clip.frames),
            valid=clip.valid,
            silent=clip.silent,
        )
        scores.put("lip_closure_opening", found.opening, float(found.bilabials))
        scores.put("lip_closure_recall", found.recall, float(found.real_closures))
        scores.put("lip_closure_precision", found.precision, float(found.speech_frames))


def _put_percent(scores: Scores, metric: LandmarkDistance | SilentLipMotion, *inputs: Tensor) -> None:
    """Add a distance in percent of the eye distance, under a key that says so."""
    value, weight = metric.score(*(part[None] for part in inputs))
    scores.put(f"{metric.name}_percent", PERCENT * float(value.reshape(-1)[0]), float(weight.reshape(-1)[0]))


def drifts(landmarks: Tensor, first_frame: Tensor, valid: Tensor) -> tuple[float, float]:
    """Distance of the mean face over the last two seconds from the start of the clip, in percent of the eye distance.

    Args:
        landmarks: (T, 68, 3) Landmarks in face space.
        first_frame: (68, 3) First frame of the real clip, which every system is given.
        valid: (T,) bool, frames that were tracked.

    Returns:
        Drift of identity, the mean distance of `STILL_POINTS` from their mean over the first two seconds; and drift of
        style, the mean distance of all points from the given first frame. Clips shorter than four seconds use halves.
    """
    seen = landmarks[valid]
    span = max(min(LAST, len(seen) // 2), 1)
    first, last = seen[:span].mean(0), seen[-span:].mean(0)  # (68, 3)
    unit = (first_frame[36] - first_frame[45]).norm() / PERCENT
    still = list(STILL_POINTS)
    identity = (last[still] - first[still]).norm(dim=-1).mean() / unit
    style = (last - first_frame).norm(dim=-1).mean() / unit
    return float(identity), float(style)
