"""From rows to the table: weighted means, bootstrap intervals, distances to the real clips, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import MetricInfo, MetricSummary, ScoredClip, SystemResult
from expnet.metrics.functional import Interval, bootstrap_difference, bootstrap_interval, bootstrap_peak

LAG = "mouth_opening_lag"
Curves = Mapping[tuple[str, str], NDArray[np.float64]]
"""Correlation by lag, by system and clip."""


class Described(Protocol):
    """What a system of the table says about itself."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def description(self) -> str: ...  # noqa: D102


class Resampling(Protocol):
    """What the bootstrap resamples, people (``speaker``) or clips, and how often."""

    @property
    def interval(self) -> str: ...  # noqa: D102
    @property
    def resamples(self) -> int: ...  # noqa: D102


class TableOptions(Resampling, Protocol):
    """The resampling, and how lag and landmarks were measured."""

    @property
    def max_lag(self) -> int: ...  # noqa: D102
    @property
    def landmarks(self) -> str: ...  # noqa: D102


def summarise(
    systems: Sequence[Described],
    infos: Sequence[MetricInfo],
    rows: Sequence[ScoredClip],
    curves: Mapping[str, Curves],
    protocol: TableOptions,
    *,
    seed: int = 0,
) -> tuple[SystemResult, ...]:
    """Aggregate the rows of every system.

    Args:
        systems: The systems, in the order of the table.
        infos: The metrics.
        rows: One row for each system and clip, including those that failed.
        curves: Correlations by lag, by metric key. The lag of a system is where the mean of its clips' curves peaks.
        protocol: What the bootstrap resamples, and how often.
        seed: The seed of the bootstrap.
    """
    first = next((system.name for system in systems if system.kind == "model"), None)
    table = {(row.system, row.clip_id): row for row in rows}
    intervals = {
        (system.name, info.key): _interval(system.name, info.key, rows, curves, protocol, seed)
        for system in systems
        for info in infos
    }
    results = []
    for system in systems:
        metrics = {}
        for info in infos:
            interval = intervals[system.name, info.key]
            if interval.count == 0 and not any(info.key in row.values for row in rows if row.system == system.name):
                continue
            truth = intervals.get((GROUND_TRUTH, info.key))
            difference = None
            if first is not None and system.name != first and info.key not in curves:
                difference = paired_difference(system.name, first, info.key, table, protocol, seed)
            metrics[info.key] = MetricSummary(
                mean=interval.mean,
                ci95=ends(interval),
                n=interval.count,
                unscored=sum(info.key in row.values for row in rows if row.system == system.name) - interval.count,
                distance_to_ground_truth=None if truth is None or truth.count == 0 else interval.mean - truth.mean,
                difference_to_first=None if difference is None or difference.count == 0 else difference.mean,
                difference_ci95=None if difference is None else ends(difference),
            )
        results.append(SystemResult(system.name, system.title, system.kind, system.description, metrics))
    return tuple(results)


def _interval(
    system: str, key: str, rows: Sequence[ScoredClip], curves: Mapping[str, Curves], protocol: TableOptions, seed: int
) -> Interval:
    """Return mean and interval of one metric of one system."""
    own = [row for row in rows if row.system == system and key in row.values]
    if key in curves:
        known = curves[key]
        # A clip that could not be scored has a row, but no curve.
        own = [row for row in own if (system, row.clip_id) in known]
        stacked = np.stack([known[system, row.clip_id] for row in own]) if own else np.zeros((0, 1))
        return bootstrap_peak(stacked, groups=_groups(own, protocol), resamples=protocol.resamples, seed=seed)
    return bootstrap_interval(
        [row.values[key] for row in own],
        weights=[row.weights.get(key, 1.0) for row in own],
        groups=_groups(own, protocol),
        resamples=protocol.resamples,
        seed=seed,
    )


def paired_difference(
    system: str,
    first: str,
    key: str,
    table: Mapping[tuple[str, str], ScoredClip],
    protocol: Resampling,
    seed: int = 0,
) -> Interval:
    """Return the difference of one metric between two systems, on the clips that both have.

    Args:
        system: The name of the system.
        first: The name of the system that is subtracted.
        key: The key of the metric.
        table: The rows by system and clip.
        protocol: What the bootstrap resamples.
        seed: The seed of the bootstrap.
    """
    pairs = [
        (row, table[first, clip_id])
        for (name, clip_id), row in table.items()
        if name == system and key in row.values and key in getattr(table.get((first, clip_id)), "values", {})
    ]
    # Both sides have the weight of the real clip; their mean is right even if one of them lacks it.
    weights = [(one.weights.get(key, 1.0) + other.weights.get(key, 1.0)) / 2 for one, other in pairs]
    return bootstrap_difference(
        [one.values[key] for one, _ in pairs],
        [other.values[key] for _, other in pairs],
        weights=weights,
        groups=_groups([one for one, _ in pairs], protocol),
        resamples=protocol.resamples,
        seed=seed,
    )


def _groups(rows: Sequence[ScoredClip], protocol: Resampling) -> list[str] | None:
    """Return what the bootstrap resamples: people, unless clips were requested or there is only one person."""
    people = [row.speaker for row in rows]
    return people if protocol.interval == "speaker" and len(set(people)) > 1 else None


def ends(interval: Interval) -> tuple[float, float] | None:
    """Return both ends of an interval, or None where there was too little to resample."""
    if interval.low is None or interval.high is None:
        return None
    return interval.low, interval.high
