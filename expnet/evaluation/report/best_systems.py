"""Which systems lead a column of the table."""

import math
from collections.abc import Mapping, Sequence

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.decimals import metric_decimals
from expnet.evaluation.report.results import MetricInfo, MetricSummary, Results, ScoredClip

_SAME = 1e-6
"""Relative difference below which two numbers are considered equal."""
_Clips = Mapping[str, ScoredClip]
"""The rows of one system that have a value, by clip."""


def best_systems(results: Results, info: MetricInfo) -> set[str]:
    """Return the names of the models and baselines that lead a column, including ties at the printed precision.

    The aim of a column is its direction, else its ideal value, else the value of the real clips. Trivial systems are
    left out, because a frozen face has the least jitter. Where systems were scored on different clips, the clips that
    all of them have decide; a metric that is no mean over clips then has no best system.
    """
    summaries = {
        system.name: system.metrics[info.key]
        for system in results.systems
        if system.kind in ("model", "baseline")
        and info.key in system.metrics
        and math.isfinite(system.metrics[info.key].mean)
    }
    if len(summaries) < 2:
        return set()
    values, aims = _comparable(results, info, summaries)
    digits = metric_decimals(info)

    def loss(name: str) -> float:
        rounded = round(values[name], digits)
        if info.higher_is_better is not None:
            return -rounded if info.higher_is_better else rounded
        return abs(rounded - aims[name])

    if not values or (info.higher_is_better is None and not aims):
        return set()
    losses = {name: loss(name) for name in values}
    return {name for name, value in losses.items() if value <= min(losses.values()) + 1e-12}


def _comparable(
    results: Results, info: MetricInfo, summaries: Mapping[str, MetricSummary]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return a value of each system over the same clips, and what it aims at; the latter is empty if unknown."""
    truth = results.system(GROUND_TRUTH)
    real = None if truth is None else truth.metrics.get(info.key)
    scored = {name: _scored_clips(results.clips, name, info.key) for name in (*summaries, GROUND_TRUTH)}
    names = list(summaries)
    if all(scored[name].keys() == scored[names[0]].keys() for name in names):
        if len({summary.n for summary in summaries.values()}) > 1:
            return {}, {}  # a distance between sets of frames, from different clips
        values = {name: summary.mean for name, summary in summaries.items()}
        aims = {name: _aim(info, summary, real) for name, summary in summaries.items()}
        return values, {name: aim for name, aim in aims.items() if aim is not None} if None not in aims.values() else {}
    common = set.intersection(*(set(scored[name]) for name in names))
    is_mean = all(
        math.isclose(_mean(scored[name], scored[name], info.key), summaries[name].mean, rel_tol=_SAME, abs_tol=1e-12)
        for name in names
    )
    if not common or not is_mean:
        return {}, {}
    values = {name: _mean(scored[name], common, info.key) for name in names}
    if info.ideal is not None:
        return values, dict.fromkeys(names, info.ideal)
    paired = scored[GROUND_TRUTH]
    if common <= paired.keys():
        return values, dict.fromkeys(names, _mean(paired, common, info.key))
    apart = all(paired.keys().isdisjoint(scored[name]) for name in names)
    # A set of real clips that is not paired is the same aim for all, whatever the clips of the systems.
    return values, dict.fromkeys(names, real.mean) if apart and real is not None and math.isfinite(real.mean) else {}


def _aim(info: MetricInfo, summary: MetricSummary, real: MetricSummary | None) -> float | None:
    """Return the value that a system aims at: the ideal one, or that of the real clips over the same frames."""
    if info.ideal is not None:
        return info.ideal
    if real is not None and summary.distance_to_ground_truth is not None:
        return summary.mean - summary.distance_to_ground_truth
    return None if real is None or not math.isfinite(real.mean) else real.mean


def _scored_clips(rows: Sequence[ScoredClip], system: str, key: str) -> _Clips:
    own = (row for row in rows if row.system == system and math.isfinite(row.values.get(key, math.nan)))
    return {row.clip_id: row for row in own if row.weights.get(key, 1.0) > 0}


def _mean(rows: _Clips, clips: Mapping[str, ScoredClip] | set[str], key: str) -> float:
    """Return the weighted mean over some clips; NaN if there are none."""
    weights = {clip: rows[clip].weights.get(key, 1.0) for clip in clips}
    total = sum(weights.values())
    return sum(weight * rows[clip].values[key] for clip, weight in weights.items()) / total if total else math.nan
