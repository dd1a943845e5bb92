"""Scores of sampled motions: do they follow the audio, and do they move as much as the real clip?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.audio.speech_synthesis import Phoneme
from expnet.coefficients import split_pose
from expnet.evaluation.store.bilabials import bilabial_windows
from expnet.evaluation.store.clips import Clip
from expnet.face.morphable import MorphableModel
from expnet.metrics.functional import lip_closure, mouth_opening, pearson
from expnet.metrics.functional.masking import masked_std
from expnet.metrics.functional.motion import acceleration_energy, angular_speed, pose_diversity
from expnet.metrics.functional.motion_amount import MOTION_REGIONS, motion_deviation
from expnet.models.flow_matching.motion import Motion

MEANS = ("correlation", "correlation_of_mean", "closures")
"""Scores that are averaged over clips; of the ratios the median is taken."""
RESAMPLES = 1000
"""Bootstrap resamples of people."""
COLUMNS = (
    ("correlation", "mouth r of one sample", 3),
    ("correlation_of_mean", "mouth r of the mean", 3),
    ("closures", "closures found", 2),
    ("opening_std", "opening std / real", 2),
    ("jitter", "jitter / real", 2),
    ("brows", "brow motion / real", 2),
    ("lids", "lid motion / real", 2),
    ("head_diversity", "head angles / real", 2),
    ("head_speed", "head speed / real", 2),
    ("head_jitter", "head jitter / real", 2),
    ("milliseconds", "ms a second", 1),
)
"""Key, title and number of decimals of each column. Jitter is the root of an energy, so that it is a ratio of sizes."""


class SampledMotionScorer:
    """Scores motions that were drawn for one clip, in face space.

    Args:
        face: The face model of the coefficients.
    """

    def __init__(self, face: MorphableModel) -> None:
        self.face = face

    @torch.no_grad()
    def score(self, clip: Clip, motion: Motion, phonemes: Sequence[Phoneme] = ()) -> dict[str, float]:
        """Return the scores of the samples (S, T, ...) of a clip, each averaged over the samples; NaN where absent.

        ``real_closures`` is the number of events that ``closures`` rests on, 0 without phonemes.
        """
        scores = {key: float("nan") for key, *_ in COLUMNS[:-1]} | {"real_closures": 0.0}
        if motion.expression is not None:
            scores |= self._face(clip, motion.expression)
            scores |= self._closures(clip, motion.expression, phonemes)
        if motion.pose is not None:
            scores |= _head(clip, motion.pose)
        return scores

    def _face(self, clip: Clip, expression: Tensor) -> dict[str, float]:
        identity, valid = torch.as_tensor(clip.track.coefficients.identity).float(), clip.valid
        real = self.face.landmarks(identity, clip.expression)[None]  # (1, T, 68, 3)
        drawn = torch.stack([self.face.landmarks(identity, sample) for sample in expression])  # (S, T, 68, 3)
        mean = self.face.landmarks(identity, expression.mean(dim=0))
        target, openings, weights = mouth_opening(real), mouth_opening(drawn), valid[None].double()
        regions = {
            name: motion_deviation(drawn[..., list(points), :], valid=valid.expand(len(drawn), -1))
            / motion_deviation(real[..., list(points), :], valid=valid[None])
            for name, points in MOTION_REGIONS.items()
            if name in ("brows", "lids")
        }
        return {
            "correlation": _mean(pearson(openings, target.expand_as(openings), valid=valid.expand_as(openings))),
            "correlation_of_mean": float(pearson(mouth_opening(mean), target[0], valid=valid)),
            "opening_std": _mean(masked_std(openings, weights.expand_as(openings)) / masked_std(target, weights)),
            "jitter": _mean(_jitter(drawn, valid) / _jitter(real, valid)),
            **{name: _mean(value) for name, value in regions.items()},
        }

    def _closures(self, clip: Clip, expression: Tensor, phonemes: Sequence[Phoneme]) -> dict[str, float]:
        """Return the share of the real closures at m, b and p that the samples have, too, and their number."""
        identity = torch.as_tensor(clip.track.coefficients.identity).float()
        target = mouth_opening(self.face.landmarks(identity, clip.expression))
        windows = bilabial_windows(phonemes, clip.frames)
        found = [
            lip_closure(
                mouth_opening(self.face.landmarks(identity, sample)),
                target,
                windows,
                valid=clip.valid,
                silent=clip.silent,
            )
            for sample in expression
        ]
        return {
            "closures": _mean(torch.tensor([one.recall for one in found])),
            "real_closures": float(found[0].real_closures),
        }


def _head(clip: Clip, pose: Tensor) -> dict[str, float]:
    """Return amount, speed and jitter of the head's angles (S, T, 3) over those of the real clip."""
    valid, real = clip.valid, split_pose(clip.pose)[0][None]
    drawn, every = split_pose(clip.pose[:1] + pose)[0], clip.valid.expand(len(pose), -1)
    return {
        "head_diversity": _mean(pose_diversity(drawn, valid=every) / pose_diversity(real, valid=valid[None])),
        "head_speed": _mean(angular_speed(drawn, valid=every) / angular_speed(real, valid=valid[None])),
        "head_jitter": _mean(_jitter(drawn[..., None, :], valid) / _jitter(real[..., None, :], valid)),
    }


def _jitter(points: Tensor, valid: Tensor) -> Tensor:
    """Return the root of the acceleration energy (S,) of points (S, T, L, D)."""
    return acceleration_energy(points, valid=valid.expand(points.shape[:2])).sqrt()


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def summary(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean over clips of `MEANS`, and the median of every other score; clips without it do not count.

    The mean of the closures is over events, not over clips.
    """
    found = {}
    for key, *_ in COLUMNS[:-1]:
        values = np.array([row[key] for row in rows])
        weights = np.array([row["real_closures"] if key == "closures" else 1.0 for row in rows])
        counted = np.isfinite(values) & (weights > 0)
        values, weights = values[counted], weights[counted]
        if not len(values):
            found[key] = float("nan")
        else:
            found[key] = float(np.average(values, weights=weights) if key in MEANS else np.median(values))
    return found


def intervals(rows: Sequence[dict[str, float]], people: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of `summary` over people, by the bootstrap: a person's clips are drawn together.

    Args:
        rows: Scores of each clip.
        people: The person of each clip.
    """
    generator = np.random.default_rng(0)
    clips_of = [[row for row, name in zip(rows, people, strict=True) if name == person] for person in set(people)]
    drawn = []
    for _ in range(RESAMPLES):
        chosen = generator.integers(len(clips_of), size=len(clips_of))
        drawn.append(summary([row for number in chosen for row in clips_of[number]]))
    return {key: _interval(np.array([one[key] for one in drawn])) for key in drawn[0]}


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of the finite values (N,); NaN without any."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
