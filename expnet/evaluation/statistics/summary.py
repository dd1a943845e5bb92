"""From rows to the table: weighted means, bootstrap intervals, distances to the real clips, paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import MetricInfo, MetricSummary, ScoredClip, SystemResult
from expnet.metrics.functional import Interval, bootstrap_difference, bootstrap_interval, bootstrap_peak

LAG = "mouth_opening_lag"
SAME_LENGTH = 2
"""Videos of one clip count as equally long up to this many frames, which encoders add or lose at the end."""
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


@dataclass(frozen=True)
class RealParts:
    """The real clips over the frames that shorter videos have, by system and clip; nothing where a video is complete.

    Attributes:
        rows: The scores of the common part.
        curves: The correlations by lag of the common part, by metric key.
    """

    rows: Mapping[tuple[str, str], ScoredClip] = field(default_factory=dict)
    curves: Mapping[str, Curves] = field(default_factory=dict)


def summarise(
    systems: Sequence[Described],
    infos: Sequence[MetricInfo],
    rows: Sequence[ScoredClip],
    curves: Mapping[str, Curves],
    protocol: TableOptions,
    *,
    seed: int = 0,
    real_parts: RealParts | None = None,
) -> tuple[SystemResult, ...]:
    """Aggregate the rows of every system.

    Args:
        systems: The systems, in the order of the table.
        infos: The metrics.
        rows: One row for each system and clip, including those that failed.
        curves: Correlations by lag, by metric key. The lag of a system is where the mean of its clips' curves peaks.
        protocol: What the bootstrap resamples, and how often.
        seed: The seed of the bootstrap.
        real_parts: The real clips over the frames of videos that are shorter.
    """
    summaries = _Summaries(rows, curves, protocol, seed, real_parts or RealParts())
    first = next((system.name for system in systems if system.kind == "model"), None)
    results = []
    for system in systems:
        metrics = {}
        for info in infos:
            summary = summaries.of(system.name, info.key, first)
            if summary is not None:
                metrics[info.key] = summary
        results.append(SystemResult(system.name, system.title, system.kind, system.description, metrics))
    return tuple(results)


class _Summaries:
    """Computes summaries from the rows of all systems; the arguments are those of `summarise`."""

    def __init__(
        self,
        rows: Sequence[ScoredClip],
        curves: Mapping[str, Curves],
        protocol: TableOptions,
        seed: int,
        parts: RealParts,
    ) -> None:
        self.table = {(row.system, row.clip_id): row for row in rows}
        self.by_system: dict[str, list[ScoredClip]] = {}
        for row in rows:
            self.by_system.setdefault(row.system, []).append(row)
        self.curves = curves
        self.protocol = protocol
        self.seed = seed
        self.parts = parts

    def of(self, system: str, key: str, first: str | None) -> MetricSummary | None:
        """Return one metric of one system, None if no clip has it; ``first`` is the system of the paired difference."""
        own = [row for row in self.by_system.get(system, []) if key in row.values]
        if not own:
            return None
        interval = self.interval(own, self.curves.get(key, {}), key, self.protocol.resamples)
        difference = None
        if first is not None and system != first and key not in self.curves:
            difference = paired_difference(system, first, key, self._table_for(system, first), self.protocol, self.seed)
        return MetricSummary(
            mean=interval.mean,
            ci95=ends(interval),
            n=interval.count,
            unscored=len(own) - interval.count,
            distance_to_ground_truth=self._distance_to_real(own, key),
            difference_to_first=None if difference is None or difference.count == 0 else difference.mean,
            difference_ci95=None if difference is None else ends(difference),
        )

    def interval(self, rows: Sequence[ScoredClip], curves: Curves, key: str, resamples: int) -> Interval:
        """Return mean and interval of one metric over the rows of one system."""
        if key in self.curves:
            # A clip that could not be scored has a row, but no curve.
            rows = [row for row in rows if (row.system, row.clip_id) in curves]
            stacked = np.stack([curves[row.system, row.clip_id] for row in rows]) if rows else np.zeros((0, 1))
            groups = _groups(rows, self.protocol)
            return bootstrap_peak(stacked, groups=groups, resamples=resamples, seed=self.seed)
        return bootstrap_interval(
            [row.values[key] for row in rows],
            weights=[row.weights.get(key, 1.0) for row in rows],
            groups=_groups(rows, self.protocol),
            resamples=resamples,
            seed=self.seed,
        )

    def _distance_to_real(self, own: Sequence[ScoredClip], key: str) -> float | None:
        """Return the mean minus that of the real clips, over the clips and frames that both have; None without any."""
        pairs = []
        curves = dict(self.curves.get(key, {}))
        for row in own:
            real = self.table.get((GROUND_TRUTH, row.clip_id))
            if (row.system, row.clip_id) in self.parts.rows:
                real = self.parts.rows[row.system, row.clip_id]
                curves.pop((GROUND_TRUTH, row.clip_id), None)
                part = self.parts.curves.get(key, {}).get((row.system, row.clip_id))
                if part is not None:
                    curves[GROUND_TRUTH, row.clip_id] = part
            if real is not None and self._scored(row, key, curves) and self._scored(real, key, curves):
                pairs.append((row, real))
        if not pairs:
            return None
        mean, truth = (self.interval([pair[side] for pair in pairs], curves, key, 1).mean for side in (0, 1))
        return mean - truth

    def _scored(self, row: ScoredClip, key: str, curves: Curves) -> bool:
        """Return whether a row counts in the mean of a metric."""
        if key in self.curves:
            curve = curves.get((row.system, row.clip_id))
            return key in row.values and curve is not None and bool(np.isfinite(curve).any())
        return math.isfinite(row.values.get(key, math.nan)) and row.weights.get(key, 1.0) > 0

    def _table_for(self, system: str, first: str) -> Mapping[tuple[str, str], ScoredClip]:
        """Return the rows by system and clip; those of the real clips over the frames of the system compared with."""
        if system != GROUND_TRUTH:
            return self.table
        parts = {(system, clip): row for (name, clip), row in self.parts.rows.items() if name == first}
        return {**self.table, **parts}


def paired_difference(
    system: str,
    first: str,
    key: str,
    table: Mapping[tuple[str, str], ScoredClip],
    protocol: Resampling,
    seed: int = 0,
) -> Interval:
    """Return the difference of one metric between two systems, on the clips that both have over the same frames.

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
    pairs = [(one, other) for one, other in pairs if abs(one.frames - other.frames) <= SAME_LENGTH]
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
