"""From rows to the table: weighted means, bootstrap intervals, distances to the real clips, paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import ClipRow, MetricInfo, MetricSummary, SystemResult
from expnet.metrics.functional import Interval, bootstrap_difference, bootstrap_interval, bootstrap_peak

LAG = "mouth_opening_lag"
_WELL_FITTED = 1.5
"""Pixels at 256 that the fitted landmarks of the real clips may lie off the tracked ones; .15 is usual."""
Curves = Mapping[tuple[str, str], NDArray[np.float64]]
"""Correlation by lag of a system (first) on a clip (second)."""


class Described(Protocol):
    """What a row of the table says about itself."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def description(self) -> str: ...  # noqa: D102


class Resampling(Protocol):
    """What the bootstrap draws, people (``speaker``) or clips, and how often."""

    @property
    def interval(self) -> str: ...  # noqa: D102
    @property
    def resamples(self) -> int: ...  # noqa: D102


class TableOptions(Resampling, Protocol):
    """That, and how lag and landmarks were measured."""

    @property
    def max_lag(self) -> int: ...  # noqa: D102
    @property
    def landmarks(self) -> str: ...  # noqa: D102


def summarise(
    systems: Sequence[Described],
    infos: Sequence[MetricInfo],
    rows: Sequence[ClipRow],
    curves: Mapping[str, Curves],
    protocol: TableOptions,
    *,
    seed: int = 0,
) -> tuple[SystemResult, ...]:
    """Aggregate the rows of every system.

    Args:
        systems: in the order of the table.
        infos: columns.
        rows: one a system and clip, failed ones included.
        curves: by metric key, for lags: the lag of a system is where the mean of its clips' curves peaks.
        protocol: says what the bootstrap draws, and how often.
        seed: of the bootstrap.
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
    system: str, key: str, rows: Sequence[ClipRow], curves: Mapping[str, Curves], protocol: TableOptions, seed: int
) -> Interval:
    """Mean and interval of one metric of one system."""
    own = [row for row in rows if row.system == system and key in row.values]
    groups = _groups(own, protocol)
    if key in curves:
        known = curves[key]
        table = [known[system, row.clip_id] for row in own if (system, row.clip_id) in known]
        stacked = np.stack(table) if table else np.zeros((0, 1))
        return bootstrap_peak(stacked, groups=groups, resamples=protocol.resamples, seed=seed)
    return bootstrap_interval(
        [row.values[key] for row in own],
        weights=[row.weights.get(key, 1.0) for row in own],
        groups=groups,
        resamples=protocol.resamples,
        seed=seed,
    )


def paired_difference(
    system: str,
    first: str,
    key: str,
    table: Mapping[tuple[str, str], ClipRow],
    protocol: Resampling,
    seed: int = 0,
) -> Interval:
    """Difference of one metric of a system to the first model on the clips that both have.

    Args:
        system: name of the one.
        first: name of the other.
        key: of the metric.
        table: rows by system and clip.
        protocol: what the bootstrap draws.
        seed: of the draws.
    """
    pairs = [
        (row, table[first, clip_id])
        for (name, clip_id), row in table.items()
        if name == system and key in row.values and key in getattr(table.get((first, clip_id)), "values", {})
    ]
    # Both sides of a pair have the real clip's own weight; the mean of the two stays right if one lacks it.
    weights = [(one.weights.get(key, 1.0) + other.weights.get(key, 1.0)) / 2 for one, other in pairs]
    return bootstrap_difference(
        [one.values[key] for one, _ in pairs],
        [other.values[key] for _, other in pairs],
        weights=weights,
        groups=_groups([one for one, _ in pairs], protocol),
        resamples=protocol.resamples,
        seed=seed,
    )


def warnings_about(
    systems: Sequence[SystemResult], rows: Sequence[ClipRow], protocol: TableOptions, *, corpora: Sequence[str]
) -> list[str]:
    """Sentences about where the numbers mean little."""
    notes = []
    people = {row.speaker for row in rows}
    if len(people) < 8:
        one = len(people) == 1
        notes.append(
            f"Only {len(people)} {'person' if one else 'people'} in the test: intervals of so few are too narrow"
            + (" (they are over clips here, for want of people)" if one and protocol.interval == "speaker" else "")
            + ", and other people may change the order of the systems."
        )
    if corpora and all(corpus == "synthetic" for corpus in corpora):
        notes.append(
            "These clips are synthetic, made by rule from synthetic speech: high scores say that the rule was learned, "
            "nothing about real people. Score a store of real videos before you quote a number."
        )
    failed = {row.clip_id for row in rows if row.status != "ok"}
    if failed:
        notes.append(f"{len(failed)} clips have a row that could not be scored; they are listed below with the reason.")
    for system in systems:
        summary = system.metrics.get(LAG)
        if summary is None or system.kind not in ("model", "baseline") or not math.isfinite(summary.mean):
            continue
        if abs(summary.mean) >= protocol.max_lag:
            notes.append(
                f"The mouth-opening lag of {system.title} lies at the edge of the search ({summary.mean:g} frames): it "
                "is probably noise, or the sound of the clips is late by more."
            )
    truth = next((system for system in systems if system.name == GROUND_TRUTH), None)
    fit = truth.metrics.get("landmark_distance") if truth is not None else None
    if fit is not None and protocol.landmarks in ("centred", "pixels_256") and fit.mean > _WELL_FITTED:
        notes.append(
            f"The real clips' own coefficients put the landmarks {fit.mean:.1f} px off the tracked ones: the store was "
            "probably made with another build of the face model. Preprocess it again before you trust this table."
        )
    return notes


def _groups(rows: Sequence[ClipRow], protocol: Resampling) -> list[str] | None:
    """What the bootstrap draws: people, unless clips were asked for or there is one person alone."""
    people = [row.speaker for row in rows]
    return people if protocol.interval == "speaker" and len(set(people)) > 1 else None


def ends(interval: Interval) -> tuple[float, float] | None:
    """Both ends of an interval, None where there were too few units to draw from."""
    if interval.low is None or interval.high is None:
        return None
    return interval.low, interval.high
