"""Sections of the page: the table of scores, the paired differences and the single clips."""

import math
from collections.abc import Sequence
from typing import Any

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.best_systems import best_systems
from expnet.evaluation.report.decimals import metric_decimals
from expnet.evaluation.report.first_screen import HEADLINE
from expnet.evaluation.report.results import (
    MetricInfo,
    MetricSummary,
    Results,
    ScoredClip,
    SystemResult,
    first_model,
)
from expnet.evaluation.report.tables import NONE, differing_count, interval, number

_MOST_COLUMNS = 7
"""Systems that fit side by side on a page of 1280 pixels."""
_MOST_METRICS = 9
"""Metrics that fit side by side on that page; their intervals are shorter than the names of systems."""
Groups = list[tuple[str, list[dict[str, Any]]]]
"""Metrics (``info``) with their cells (``cells``), under the heading of their group."""


def score_table(results: Results) -> Groups:
    """Return the metrics under the heading of their group, each with a cell for every system."""
    rows = []
    for info in results.metrics:
        best = best_systems(results, info)
        cells = [_cell(results, system, info, system.name in best) for system in results.systems]
        rows.append({"info": info, "cells": cells})
    return _grouped(rows)


def systems_are_rows(results: Results) -> bool:
    """Return whether there are too many systems to stand side by side: each then has a row."""
    return len(results.systems) > _MOST_COLUMNS


def _grouped(rows: Sequence[dict[str, Any]]) -> Groups:
    """Put rows under the heading of their metric's group."""
    groups: Groups = []
    for row in rows:
        if not groups or groups[-1][0] != row["info"].group:
            groups.append((row["info"].group, []))
        groups[-1][1].append(row)
    return groups


def side_by_side(groups: Groups) -> list[Groups]:
    """Divide groups among tables with systems as rows, as many groups in each as fit into the width of the page."""
    tables: list[Groups] = []
    for group in groups:
        if tables and sum(len(rows) for _, rows in (*tables[-1], group)) <= _MOST_METRICS:
            tables[-1].append(group)
        else:
            tables.append([group])
    return tables


def _cell(results: Results, system: SystemResult, info: MetricInfo, best: bool) -> dict[str, Any]:
    """Format one score."""
    summary = system.metrics.get(info.key)
    cell = {"kind": system.kind, "first": system is first_model(results)}
    if summary is None or not math.isfinite(summary.mean):
        hint = "not defined for this system"
        return {**cell, "value": NONE, "interval": "", "gap": "", "count": "", "best": False, "hint": hint}
    digits = metric_decimals(info)
    gap = number(summary.distance_to_ground_truth, digits, signed=True)
    return {
        **cell,
        "value": number(summary.mean, digits),
        "interval": interval(summary, digits),
        "gap": "" if system.name == GROUND_TRUTH or gap == NONE else gap,
        "count": differing_count(results, info.key, summary),
        "best": best,
        "hint": f"n {summary.n} clips" + (f", {summary.unscored} not scored" if summary.unscored else ""),
    }


def difference_table(results: Results) -> dict[str, Any]:
    """Return paired differences of other models and baselines to the first model; empty if there are none."""
    first = first_model(results)
    others = [s for s in results.systems if s is not first and s.kind in ("model", "baseline")]
    rows = []
    for info in results.metrics:
        cells = [_difference(results, system.metrics.get(info.key), info) for system in others]
        if any(cell["value"] != NONE for cell in cells):
            rows.append({"info": info, "cells": cells})
    return {"first": first, "others": others, "groups": _grouped(rows)} if rows else {}


def _difference(results: Results, summary: MetricSummary | None, info: MetricInfo) -> dict[str, str]:
    """Format one paired difference, and say whether its interval is better, worse or undecided."""
    if summary is None or summary.difference_to_first is None:
        return {"value": NONE, "interval": "", "verdict": ""}
    digits, bounds = metric_decimals(info), summary.difference_ci95
    text, verdict = "", ""
    if bounds is not None:
        text = f"[{', '.join(number(end, digits, signed=True) for end in bounds)}]"
        side = 1 if bounds[0] > 0 else -1 if bounds[1] < 0 else 0
        if side and info.higher_is_better is not None:
            verdict = "better" if (side > 0) == info.higher_is_better else "worse"
    return {"value": number(summary.difference_to_first, digits, signed=True), "interval": text, "verdict": verdict}


def clip_rows_table(results: Results) -> dict[str, Any]:
    """Return the first model's clips, worst first by the first headline metric that they have."""
    model = first_model(results)
    rows = [row for row in results.clips if model is not None and row.system == model.name]
    scored = {key for row in rows for key in row.values}
    known = {info.key: info for info in results.metrics if info.key in scored}
    infos = [known[key] for key in HEADLINE if key in known]
    if model is None or not infos:
        return {}
    leading = infos[0]

    def badness(row: ScoredClip) -> float:
        value = row.values.get(leading.key, math.nan)
        if not math.isfinite(value):
            return math.inf
        return -value if leading.higher_is_better else value

    lines = [
        {
            "row": row,
            "values": [number(row.values.get(info.key), metric_decimals(info)) for info in infos],
        }
        for row in sorted(rows, key=badness, reverse=True)
    ]
    return {"system": model, "leading": leading, "infos": infos, "lines": lines}
