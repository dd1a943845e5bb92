"""The closeness of each system to the real clips in one number, from the rows of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import MetricSummary, ScoredClip, SystemResult
from expnet.evaluation.statistics.summary import Resampling
from expnet.metrics.closeness import PARTS

KEY = "closeness_score"
Sums = NDArray[np.float64]
"""Weighted sums and weights of every part, (groups, 2, P)."""


def add_closeness(
    results: Sequence[SystemResult], rows: Sequence[ScoredClip], protocol: Resampling, *, seed: int = 0
) -> tuple[tuple[SystemResult, ...], list[str]]:
    """Add the score to every system in which each part was measured.

    The real values are those of the clips that the system has, or of all real clips where none is paired. People, or
    clips where there is one person, are resampled on both sides at once.

    Args:
        results: The results of all systems.
        rows: One row for each system and clip.
        protocol: What the bootstrap resamples.
        seed: The seed of the bootstrap.

    Returns:
        The results, and a remark for each system that lacks a part.
    """
    notes: list[str] = []
    added: list[SystemResult] = []
    first: float | None = None
    for system in results:
        found = None if system.name == GROUND_TRUTH else _score(system.name, rows, protocol, seed)
        if isinstance(found, str):
            notes.append(found)
        elif found is not None:
            if first is not None:
                found = replace(found, difference_to_first=found.mean - first)
            first = found.mean if first is None else first
            system = replace(system, metrics={**system.metrics, KEY: found})
        added.append(system)
    return tuple(added), notes


def _score(system: str, rows: Sequence[ScoredClip], protocol: Resampling, seed: int) -> MetricSummary | str:
    """Return the score of one system, or why it has none."""
    real = {row.clip_id: row for row in rows if row.system == GROUND_TRUTH}
    own = [row for row in rows if row.system == system]
    pairs = [(row, real[row.clip_id]) for row in own if row.clip_id in real]
    sides = ([row for row, _ in pairs], [row for _, row in pairs]) if pairs else (own, list(real.values()))
    people = [[row.speaker if protocol.interval == "speaker" else row.clip_id for row in side] for side in sides]
    if any(len(set(names)) < 2 for names in people):
        people = [[row.clip_id for row in side] for side in sides]
    made, truth = (_sums(side, names) for side, names in zip(sides, people, strict=True))
    value = float(_closeness(made.sum(0), truth.sum(0)))
    if not np.isfinite(value):
        lacking = [
            part for place, part in enumerate(PARTS) if not (made[:, 1, place].any() and truth[:, 1, place].any())
        ]
        return f"{KEY} of {system} needs every part; missing: {', '.join(lacking) or 'a real value other than 0'}."
    counts = [sum(np.isfinite(row.values.get(part, np.nan)) for row in sides[0]) for part in PARTS]
    ends = None
    if pairs and len(made) > 1:
        draws = np.random.default_rng(seed).integers(0, len(made), (protocol.resamples, len(made)))
        scores = _closeness(made[draws].sum(1), truth[draws].sum(1))
        low, high = np.nanquantile(scores, [0.025, 0.975])
        ends = (float(low), float(high))
    return MetricSummary(mean=value, ci95=ends, n=int(min(counts)), unscored=len(own) - int(min(counts)))


def _sums(rows: Sequence[ScoredClip], people: Sequence[str]) -> Sums:
    """Return the weighted sums and the weights of every part by person, people in order of their names."""
    places = {name: place for place, name in enumerate(sorted(set(people)))}
    sums = np.zeros((len(places), 2, len(PARTS)))
    for row, name in zip(rows, people, strict=True):
        for place, part in enumerate(PARTS):
            value, weight = row.values.get(part, np.nan), row.weights.get(part, 1.0)
            if np.isfinite(value) and weight > 0:
                sums[places[name], :, place] += (value * weight, weight)
    return sums


def _closeness(made: Sums, truth: Sums) -> NDArray[np.float64]:
    """Return the geometric mean of min / max of both sides' means, (...) from (..., 2, P); NaN where a part is missing.

    The formula is that of ``functional.closeness_score``, for all resamples at once.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (made[..., 0, :] / made[..., 1, :]) / (truth[..., 0, :] / truth[..., 1, :])
        ratio = np.where(share <= 0, 0.0, np.minimum(share, 1.0 / share))
    result: NDArray[np.float64] = np.prod(ratio, -1) ** (1.0 / len(PARTS))
    return result
