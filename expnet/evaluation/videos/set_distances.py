"""Distances between the vectors of all videos of a system and of all real ones, for the table.

The vectors of every video are stored with its row. Intervals leave out one group of people after the other, because a
bootstrap repeats vectors, and repeated vectors raise the distance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import MetricSummary, SystemResult
from expnet.evaluation.statistics.jackknife import jackknife, people_groups
from expnet.evaluation.videos.finished_clips import FinishedClips
from expnet.evaluation.videos.pairing import PairedClip
from expnet.metrics.frechet_video import FEWEST_VIDEOS
from expnet.metrics.functional.frechet import Moments, frechet_distance
from expnet.metrics.functional.frechet_extrapolation import extrapolated_frechet_distance, fold_moments

Distance = Callable[[Tensor, Tensor], Tensor]
"""A distance between real vectors (N, F) and generated ones (M, F)."""


@dataclass(frozen=True)
class SetDistance:
    """A metric that compares sets of vectors.

    Attributes:
        key: The key of the metric.
        vectors: The name under which the vectors are stored.
        fewest: Videos on either side below which it is not computed.
        distance: The distance.
    """

    key: str
    vectors: str
    fewest: int
    distance: Distance


def plain_distance(real: Tensor, generated: Tensor) -> Tensor:
    """Return the Frechet distance of all vectors."""
    return frechet_distance(Moments.of(real), Moments.of(generated))


def extrapolated_distance(real: Tensor, generated: Tensor) -> Tensor:
    """Return the Frechet distance that infinitely many vectors would have."""
    return extrapolated_frechet_distance(fold_moments(real), fold_moments(generated))


SET_DISTANCES = (
    SetDistance("fvd", "fvd", FEWEST_VIDEOS, plain_distance),
    SetDistance("fvd_extrapolated", "fvd", FEWEST_VIDEOS, extrapolated_distance),
    # Every frame is a vector, so a few videos of a few people are enough for a rough value.
    SetDistance("expression_frechet_distance", "expression_frechet_distance", 4, plain_distance),
    SetDistance("e_fid", "e_fid", 4, plain_distance),
)


@dataclass(frozen=True)
class _Side:
    """The vectors of one side.

    Attributes:
        vectors: One tensor (N, F) for each video.
        people: Who speaks in each.
    """

    vectors: list[Tensor]
    people: list[str]

    def without(self, group: int | None, groups: Sequence[int]) -> Tensor:
        """Return all vectors but those of one group of people."""
        return torch.cat([own for own, number in zip(self.vectors, groups, strict=True) if number != group])


def add_set_distances(
    results: Sequence[SystemResult],
    keys: Sequence[str],
    clips: Sequence[PairedClip],
    work: FinishedClips,
    *,
    paired: bool = True,
) -> tuple[tuple[SystemResult, ...], list[str]]:
    """Add the distances between sets to the results of the systems.

    Args:
        results: The results of all systems.
        keys: The keys of the wanted metrics.
        clips: The clips, those of a set of real videos among them.
        work: What was computed of the clips.
        paired: Whether the real videos are those of the clips that the system has, or all.

    Returns:
        The results, and remarks on distances that were not computed because there are too few videos.
    """
    notes: list[str] = []
    found: dict[str, dict[str, MetricSummary]] = {}
    for metric in (metric for metric in SET_DISTANCES if metric.key in keys):
        for system in (system.name for system in results if system.name != GROUND_TRUTH):
            real, generated = _sides(metric, system, clips, work, paired=paired)
            count = min(len(real.vectors), len(generated.vectors))
            if count < metric.fewest:
                notes.append(
                    f"{metric.key} of {system} was not computed: it has {len(generated.vectors)} videos against "
                    f"{len(real.vectors)} real ones, and at least {metric.fewest} are needed on either side."
                )
                continue
            made = sum(set(clip.paths) != {GROUND_TRUTH} for clip in clips)
            found.setdefault(system, {})[metric.key] = _summary(metric, real, generated, made)
    return tuple(_with_differences(system, found) for system in results), notes


def _summary(metric: SetDistance, real: _Side, generated: _Side, made: int) -> MetricSummary:
    """Return the distance with its jackknife interval."""
    groups, real_groups = people_groups(generated.people), people_groups(real.people)

    def measure(without: int | None) -> float:
        return float(metric.distance(real.without(without, real_groups), generated.without(without, groups)))

    mean, ends = jackknife(measure, sorted(set(groups) & set(real_groups)))
    count = len(generated.vectors)
    return MetricSummary(mean=mean, ci95=ends, n=count, unscored=made - count)


def _with_differences(system: SystemResult, found: Mapping[str, Mapping[str, MetricSummary]]) -> SystemResult:
    """Return a system with its distances, and their difference to the first system's."""
    own = dict(found.get(system.name, {}))
    first = found.get(next(iter(found), ""), {})
    if first is not found.get(system.name):
        for key, summary in own.items():
            if key in first:
                own[key] = replace(summary, difference_to_first=summary.mean - first[key].mean)
    return replace(system, metrics={**system.metrics, **own})


def _sides(
    metric: SetDistance, system: str, clips: Sequence[PairedClip], work: FinishedClips, *, paired: bool
) -> tuple[_Side, _Side]:
    """Return the real and the generated vectors."""
    real, generated = _Side([], []), _Side([], [])
    for clip in clips:
        vectors = work.features(clip, metric.vectors)
        if paired and not {system, GROUND_TRUTH} <= vectors.keys():
            continue
        for side, name in ((real, GROUND_TRUTH), (generated, system)):
            if name in vectors:
                side.vectors.append(vectors[name])
                side.people.append(clip.speaker)
    return real, generated
