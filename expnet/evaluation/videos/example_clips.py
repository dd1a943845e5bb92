"""Which clips the page shows: the worst and the best ones of the first system, by each metric that scores clips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.decimals import metric_decimals
from expnet.evaluation.report.results import MetricInfo, ScoredClip
from expnet.evaluation.report.tables import number
from expnet.evaluation.videos.pairing import PairedClip

LEADING = (
    "mouth_opening_correlation",
    "sync_confidence",
    "audio_mouth_correlation",
    "landmark_distance_mouth",
    "lpips",
    "psnr",
)
"""Metrics that a reader wants to look at first; the first of them that scored clips leads the page."""


@dataclass(frozen=True)
class Chosen:
    """A clip that is worth looking at.

    Attributes:
        title: Why it was chosen, ``Worst`` or ``Best``.
        clip: The clip.
        note: Its score in words.
    """

    title: str
    clip: PairedClip
    note: str


@dataclass(frozen=True)
class MetricExamples:
    """The worst and the best clips by one metric.

    Attributes:
        info: The metric.
        chosen: The clips, each of the worst followed by one of the best: the worst, the best, the second worst, ...
    """

    info: MetricInfo
    chosen: tuple[Chosen, ...]


def choose_clips(
    system: str, clips: Sequence[PairedClip], rows: Sequence[ScoredClip], infos: Sequence[MetricInfo], count: int
) -> list[MetricExamples]:
    """Choose the worst and best clips of a system by each metric that has a value for a clip, the leading one first.

    What a metric aims at is its direction, else its ideal value, else the value of the same real clip, or the mean of
    the real clips where none is paired.

    Args:
        system: The name of the system whose clips are ranked.
        clips: The clips of the benchmark.
        rows: The scores of all systems.
        infos: The metrics of the table.
        count: The number of worst clips, and of best clips, by the leading metric; the others show one of each.
    """
    by_name = {clip.clip_id: clip for clip in clips}
    found: list[MetricExamples] = []
    for info in _leading_first(infos):
        scored = _scored_by(system, rows, info.key) if count else []
        aims, whose = _real_aims(scored, rows, info.key)
        ranked = _worst_first(scored, aims, info)
        shown = count if not found else min(count, 1)
        worst = ranked[: min(shown, (len(ranked) + 1) // 2)]
        best = ranked[len(worst) :][-shown:]
        titled = [("Worst", row) for row in worst], [("Best", row) for row in reversed(best)]
        ordered = [pair[place] for place in range(len(worst)) for pair in titled if place < len(pair)]
        chosen = tuple(Chosen(title, by_name[row.clip_id], _note(info, row, aims, whose)) for title, row in ordered)
        if chosen:
            found.append(MetricExamples(info, chosen))
    return found


def _leading_first(infos: Sequence[MetricInfo]) -> list[MetricInfo]:
    return sorted(infos, key=lambda info: LEADING.index(info.key) if info.key in LEADING else len(LEADING))


def _worst_first(scored: Sequence[ScoredClip], aims: Mapping[str, float], info: MetricInfo) -> list[ScoredClip]:
    """Return scored clips in order, without those of which it is not known what the metric aims at."""
    losses = {row.clip_id: _loss(info, row.values[info.key], aims.get(row.clip_id, math.nan)) for row in scored}
    ranked = [row for row in scored if math.isfinite(losses[row.clip_id])]
    return sorted(ranked, key=lambda row: (-losses[row.clip_id], row.clip_id))


def _scored_by(system: str, rows: Sequence[ScoredClip], key: str) -> list[ScoredClip]:
    own = [row for row in rows if row.system == system and row.status == "ok" and row.weights.get(key, 1.0) > 0]
    return [row for row in own if math.isfinite(row.values.get(key, math.nan))]


def _loss(info: MetricInfo, value: float, aim: float) -> float:
    """Return how far a value is from what its metric aims at; NaN if that is unknown."""
    if info.higher_is_better is not None:
        return -value if info.higher_is_better else value
    return abs(value - (aim if info.ideal is None else info.ideal))


def _real_aims(scored: Sequence[ScoredClip], rows: Sequence[ScoredClip], key: str) -> tuple[dict[str, float], str]:
    """Return the value that each clip aims at, and whose it is: its real clip's, or the mean of an unpaired set."""
    real = {row.clip_id: row.values[key] for row in _scored_by(GROUND_TRUTH, rows, key)}
    names = [row.clip_id for row in scored]
    if real.keys() & names:
        return {name: real[name] for name in names if name in real}, "its real clip"
    return dict.fromkeys(names, math.fsum(real.values()) / len(real)) if real else {}, "the real clips"


def _note(info: MetricInfo, row: ScoredClip, aims: Mapping[str, float], whose: str) -> str:
    """Return the score of a clip in words, with the value that it aims at where that is one of the real clips."""
    digits = metric_decimals(info)
    text = f"{number(row.values[info.key], digits)} {info.unit}".rstrip()
    if info.higher_is_better is not None or info.ideal is not None:
        return text
    return f"{text}, {whose} {number(aims[row.clip_id], digits)}"
