"""Sections of the page: the table of scores, the paired differences, the headline tiles and the single clips."""

import math
from typing import Any

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import (
    MetricInfo,
    MetricSummary,
    Results,
    ScoredClip,
    SystemResult,
    first_model,
)
from expnet.evaluation.report.tables import NONE, best_systems, column_decimals, direction, interval, number

_TILES = 4
_HEADLINE = (
    "sync_confidence",
    "mouth_opening_correlation",
    "fid",
    "within_clip_r2",
    "audio_mouth_correlation",
    "landmark_distance_mouth",
    "lpips",
    "csim",
    "jitter_ratio",
    "psnr",
)
"""Metrics that are shown first, by key; each of them except FID has a value for every clip."""


def score_table(results: Results) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the metrics under the heading of their group; each metric is a row and each system a column."""
    groups: list[tuple[str, list[dict[str, Any]]]] = []
    for info in results.metrics:
        row = {"info": info, "cells": [_cell(results, system, info) for system in results.systems]}
        if not groups or groups[-1][0] != info.group:
            groups.append((info.group, []))
        groups[-1][1].append(row)
    return groups


def _cell(results: Results, system: SystemResult, info: MetricInfo) -> dict[str, Any]:
    """Format one score."""
    summary = system.metrics.get(info.key)
    cell = {"kind": system.kind, "first": system is first_model(results)}
    if summary is None or not math.isfinite(summary.mean):
        hint = "not defined for this system"
        return {**cell, "value": NONE, "interval": "", "gap": "", "best": False, "hint": hint}
    digits = column_decimals(results, info.key)
    gap = number(summary.distance_to_ground_truth, digits, signed=True)
    return {
        **cell,
        "value": number(summary.mean, digits),
        "interval": interval(summary, digits),
        "gap": "" if system.name == GROUND_TRUTH or gap == NONE else gap,
        "best": system.name in best_systems(results, info),
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
    return {"first": first, "others": others, "rows": rows} if rows else {}


def _difference(results: Results, summary: MetricSummary | None, info: MetricInfo) -> dict[str, str]:
    """Format one paired difference, and say whether its interval is better, worse or undecided."""
    if summary is None or summary.difference_to_first is None:
        return {"value": NONE, "interval": "", "verdict": ""}
    digits, bounds = column_decimals(results, info.key), summary.difference_ci95
    text, verdict = "", ""
    if bounds is not None:
        text = f"[{', '.join(number(end, digits, signed=True) for end in bounds)}]"
        side = 1 if bounds[0] > 0 else -1 if bounds[1] < 0 else 0
        if side and info.higher_is_better is not None:
            verdict = "better" if (side > 0) == info.higher_is_better else "worse"
    return {"value": number(summary.difference_to_first, digits, signed=True), "interval": text, "verdict": verdict}


def headline_tiles(results: Results) -> list[dict[str, str]]:
    """Return the first model's main scores, with those of the other systems and the real clips beside them."""
    model = first_model(results)
    if model is None:
        return []
    known = {info.key: info for info in results.metrics if info.key in model.metrics}
    tiles = []
    for info in [known[key] for key in _HEADLINE if key in known][:_TILES]:
        digits, summary = column_decimals(results, info.key), model.metrics[info.key]
        others = [s for s in results.systems if s.kind in ("model", "baseline") and info.key in s.metrics]
        beside = [f"{s.title} {number(s.metrics[info.key].mean, digits)}" for s in others if s is not model]
        truth = results.system(GROUND_TRUTH)
        if truth is not None and info.key in truth.metrics:
            beside.append(f"real {number(truth.metrics[info.key].mean, digits)}")
        tiles.append(
            {
                "title": info.title,
                "arrow": direction(info),
                "unit": "" if info.unit in ("r", "share", "ratio") else info.unit,
                "value": number(summary.mean, digits),
                "interval": interval(summary, digits),
                "beside": " · ".join(beside),
            }
        )
    return tiles


def clip_rows_table(results: Results) -> dict[str, Any]:
    """Return the first model's clips, worst first by the first headline metric that they have."""
    model = first_model(results)
    rows = [row for row in results.clips if model is not None and row.system == model.name]
    scored = {key for row in rows for key in row.values}
    known = {info.key: info for info in results.metrics if info.key in scored}
    infos = [known[key] for key in _HEADLINE if key in known]
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
            "values": [number(row.values.get(info.key), column_decimals(results, info.key)) for info in infos],
        }
        for row in sorted(rows, key=badness, reverse=True)
    ]
    return {"system": model, "leading": leading, "infos": infos, "lines": lines}
