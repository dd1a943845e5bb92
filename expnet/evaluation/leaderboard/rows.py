"""The rows of a leaderboard: a cell for each system and metric, its distance to the leader, and why it is empty."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.leaderboard.board import Board
from expnet.evaluation.leaderboard.published import PublishedScore
from expnet.evaluation.report.best_systems import best_systems
from expnet.evaluation.report.compare import drawing_of, is_mean
from expnet.evaluation.report.decimals import metric_decimals
from expnet.evaluation.report.results import MetricInfo, Results, ScoredClip, SystemResult
from expnet.evaluation.report.tables import NONE, interval, number
from expnet.evaluation.statistics.summary import ends, paired_difference

_Rows = dict[tuple[str, str], ScoredClip]


@dataclass(frozen=True)
class Cell:
    """One score.

    Attributes:
        text: The value as it is printed, a dash where there is none.
        rank: What the column is sorted by, smaller is better; None where there is no value.
        interval: The 95 % interval as text.
        against_leader: The paired difference to the leader of the column and its interval, in short.
        detail: The same with the leader's name and the number of clips.
        verdict: ``worse`` where the interval of this difference excludes 0, else empty.
        why: Why there is no value, or how many clips are behind it.
        best: Whether it leads its column.
    """

    text: str
    rank: float | None = None
    interval: str = ""
    against_leader: str = ""
    detail: str = ""
    verdict: str = ""
    why: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One system.

    Attributes:
        name: Its name for people.
        kind: ``reference``, ``model``, ``baseline``, ``trivial`` or ``published``.
        source: The result files that hold it, or where its numbers were published.
        cells: One for each metric.
    """

    name: str
    kind: str
    source: str
    cells: list[Cell] = field(default_factory=list)


def board_rows(board: Board) -> tuple[tuple[MetricInfo, ...], list[Row]]:
    """Return the metrics and the rows: systems that were scored here, then those that others published."""
    results = board.results
    by_clip = {(row.system, row.clip_id): row for row in results.clips}
    infos = results.metrics
    rows = [Row(system.title, system.kind, _files_of(board, system)) for system in results.systems]
    for info in infos:
        best = best_systems(results, info)
        leader = next((system for system in results.systems if system.name in best), None)
        for row, system in zip(rows, results.systems, strict=True):
            row.cells.append(_cell(board, system, info, leader, by_clip, best=system.name in best))
    return infos, rows + _published_rows(board, infos)


def _cell(
    board: Board, system: SystemResult, info: MetricInfo, leader: SystemResult | None, by_clip: _Rows, *, best: bool
) -> Cell:
    """Return the cell of one system and metric."""
    summary = system.metrics.get(info.key)
    if summary is None or not math.isfinite(summary.mean):
        return Cell(NONE, why=_why_empty(board, system, info))
    digits = metric_decimals(info)
    total = summary.n + summary.unscored
    against, detail, verdict = _against_leader(board.results, system, info, leader, by_clip)
    return Cell(
        text=number(summary.mean, digits),
        rank=_rank(info, summary.mean, summary.distance_to_ground_truth, _real_mean(board, info)),
        interval=interval(summary, digits),
        against_leader=against,
        detail=detail,
        verdict=verdict,
        why=f"{summary.n} of {total} clips",
        best=best,
    )


def _rank(info: MetricInfo, mean: float, distance: float | None, real: float | None) -> float | None:
    """Return what a column is sorted by: its direction, or the distance to the value to aim at."""
    if info.higher_is_better is not None:
        return -mean if info.higher_is_better else mean
    if info.ideal is not None:
        return abs(mean - info.ideal)
    if distance is not None:
        return abs(distance)
    return None if real is None else abs(mean - real)


def _real_mean(board: Board, info: MetricInfo) -> float | None:
    truth = board.results.system(GROUND_TRUTH)
    summary = None if truth is None else truth.metrics.get(info.key)
    return None if summary is None or not math.isfinite(summary.mean) else summary.mean


def _against_leader(
    results: Results, system: SystemResult, info: MetricInfo, leader: SystemResult | None, by_clip: _Rows
) -> tuple[str, str, str]:
    """Return the paired difference to the leader on their common clips, in short and in words, and its verdict."""
    if leader is None or system is leader or system.kind == "reference":
        return "", "", ""
    if not (is_mean(system, info.key, by_clip) and is_mean(leader, info.key, by_clip)):
        return "", "", ""
    found = paired_difference(system.name, leader.name, info.key, by_clip, drawing_of(results.protocol))
    if not found.count:
        return "", f"no clip in common with {leader.title}", ""
    digits, bounds = metric_decimals(info), ends(found)
    text = number(found.mean, digits, signed=True)
    detail = f"{text} to {leader.title} on {found.count} clips"
    if bounds is None:
        return text, detail, ""
    # An interval does not break in a narrow column.
    text += f" [{', '.join(number(end, digits, signed=True) for end in bounds)}]".replace(", ", ",\N{NO-BREAK SPACE}")
    side = 1 if bounds[0] > 0 else -1 if bounds[1] < 0 else 0
    worse = side and info.higher_is_better is not None and (side > 0) != info.higher_is_better
    return text, detail, "worse" if worse else ""


def _why_empty(board: Board, system: SystemResult, info: MetricInfo) -> str:
    """Return why a system has no value of a metric."""
    own = [row for row in board.results.clips if row.system == system.name]
    files = [name for name, part in board.parts.items() if any(row.system == system.name for row in part.clips)]
    if files and not any(info.key in board.parts[name].protocol["metrics"] for name in files):
        return f"not computed in {', '.join(files)}"
    reasons = Counter(row.unscored[info.key] for row in own if info.key in row.unscored)
    if reasons:
        return f"{reasons.most_common(1)[0][0]} ({reasons.total()} of {len(own)} clips)"
    if system.name == GROUND_TRUTH:
        return "compares with the real clips themselves"
    failed = Counter(row.reason for row in own if row.status != "ok")
    return failed.most_common(1)[0][0] if failed else "not defined for this system"


def _files_of(board: Board, system: SystemResult) -> str:
    """Return the result files that hold a system, which ``merge`` may have renamed after its file."""
    held = {name: {own.name for own in part.systems} for name, part in board.parts.items()}
    names = [name for name, own in held.items() if system.name in own]
    renamed = [name for name, own in held.items() if any(system.name == f"{one} ({name})" for one in own)]
    return ", ".join(renamed or names)


def _published_rows(board: Board, infos: tuple[MetricInfo, ...]) -> list[Row]:
    """Return one row for each published system and source."""
    grouped: dict[tuple[str, str], dict[str, PublishedScore]] = {}
    for score in board.published:
        grouped.setdefault((score.system, score.source), {})[score.metric] = score
    rows = []
    for (system, source), scores in grouped.items():
        cells = [_published_cell(board, info, scores.get(info.key)) for info in infos]
        rows.append(Row(system, "published", source, cells))
    return rows


def _published_cell(board: Board, info: MetricInfo, score: PublishedScore | None) -> Cell:
    if score is None:
        return Cell(NONE, why="not published")
    why = "not re-scored" + (f": {score.note}" if score.note else "")
    rank = _rank(info, score.value, None, _real_mean(board, info))
    return Cell(number(score.value, metric_decimals(info)), rank=rank, why=why)
