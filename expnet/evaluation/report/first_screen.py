"""The first screen of the page: what was compared, on what, what is missing, and the numbers that matter."""

import math
from typing import Any

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.decimals import metric_decimals
from expnet.evaluation.report.results import MetricInfo, Results, SystemResult, first_model
from expnet.evaluation.report.tables import differing_count, direction, interval, number

_TILES = 5
_MOST_RANKED = 5
"""Systems that a tile ranks; the tables have them all."""
_MOST_NAMED = 6
"""Systems that are named at the top of the page."""
_FAMILIES = (
    ("sync_confidence", "audio_mouth_correlation"),
    ("mouth_opening_correlation", "landmark_distance_mouth"),
    ("fid", "lpips", "psnr"),
    ("csim", "within_clip_r2"),
    ("jitter_ratio", "pose_diversity_ratio", "pose_diversity"),
)
"""What a reader asks first: are the lips in time, do they open right, do frames look real, is it the same person, does
it move as people do? The first metric that was scored stands for its family."""
HEADLINE = (
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


def headline_tiles(results: Results) -> list[dict[str, Any]]:
    """Return the main metrics, each with its systems in order, the best first, and the value of the real clips.

    The first model is always among them. Metrics of one family say nearly the same, so one of them stands for all.
    """
    model = first_model(results)
    if model is None:
        return []
    known = {info.key: info for info in results.metrics if info.key in model.metrics}
    leading = [next((key for key in family if key in known), None) for family in _FAMILIES]
    keys = [key for key in dict.fromkeys((*leading, *HEADLINE, *known)) if key in known]
    return [_tile(results, known[key], model) for key in keys[:_TILES] if key is not None]


def _tile(results: Results, info: MetricInfo, model: SystemResult) -> dict[str, Any]:
    """Return one metric as a ranking of a few systems."""
    digits = metric_decimals(info)
    scored = [system for system in results.systems if system.kind in ("model", "baseline")]
    scored = [s for s in scored if info.key in s.metrics and math.isfinite(s.metrics[info.key].mean)]
    ranked = sorted(scored, key=lambda system: _loss(results, info, system))
    shown = ranked[:_MOST_RANKED]
    if model in ranked and model not in shown:
        shown[-1] = model
    lines = [
        {
            "place": ranked.index(system) + 1,
            "name": system.title,
            "value": number(system.metrics[info.key].mean, digits),
            "interval": interval(system.metrics[info.key], digits),
            "first": system is model,
            "count": differing_count(results, info.key, system.metrics[info.key]),
        }
        for system in shown
    ]
    truth = results.system(GROUND_TRUTH)
    real = truth.metrics.get(info.key) if truth is not None else None
    more = len(ranked) - len(shown)
    return {
        "key": info.key,
        "title": info.title,
        "arrow": direction(info),
        "unit": info.unit,
        "lines": lines,
        "real": "" if real is None else number(real.mean, digits),
        "more": f"{more} more in the table" if more > 0 else "",
    }


def _loss(results: Results, info: MetricInfo, system: SystemResult) -> float:
    """Return how far a system is from the aim of a metric, by its own mean: smaller is better."""
    summary = system.metrics[info.key]
    if info.higher_is_better is not None:
        return -summary.mean if info.higher_is_better else summary.mean
    if info.ideal is not None:
        return abs(summary.mean - info.ideal)
    truth = results.system(GROUND_TRUTH)
    real = truth.metrics.get(info.key) if truth is not None else None
    if summary.distance_to_ground_truth is not None:
        return abs(summary.distance_to_ground_truth)
    return 0.0 if real is None else abs(summary.mean - real.mean)


def at_a_glance(results: Results) -> list[tuple[str, str]]:
    """Return what a reader must know first: what was compared, on how many clips, and what is missing."""
    compared = [system for system in results.systems if system.kind != "reference"]
    real = [system for system in results.systems if system.kind == "reference"]
    names = [system.title for system in compared]
    listed = ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    )
    beside = f"{listed or 'no system'}, beside {real[0].title.lower()}" if real else f"{listed}, without real clips"
    made = {system.name for system in compared}
    rows = [row for row in results.clips if results.systems and row.system == results.systems[0].name]
    others = [row for row in results.clips if row.system in made]
    if others and not {row.clip_id for row in rows} & {row.clip_id for row in others}:
        rows = others  # the real clips are a set of their own
    frames: dict[str, int] = {}
    for row in rows:
        frames[row.clip_id] = max(row.frames, frames.get(row.clip_id, 0))
    people = len({row.speaker for row in rows})
    seconds = sum(frames.values()) / 25.0
    counted = f"{len(frames)} clips, {people} {'person' if people == 1 else 'people'}, {seconds:.0f} s of speech"
    unpaired = [row for row in results.clips if row.system == GROUND_TRUTH and row.clip_id not in frames]
    if unpaired:
        counted += f"; {len(unpaired)} real clips that are not paired with them"
    return [("Compared", beside), ("On", counted), ("Missing", _missing(results))]


def _missing(results: Results) -> str:
    """Say in one line how much has no score; the page lists it further down."""
    failed = len({row.clip_id for row in results.clips if row.status != "ok"})
    gaps = {key for row in results.clips for key in row.unscored}
    weights = _after(results, "Not scored because weights are missing: ", ": ")
    random = _after(results, "RANDOM WEIGHTS: ", " ")
    parts = []
    if failed:
        parts.append(f"{failed} {'clip' if failed == 1 else 'clips'} of a system or more")
    if gaps:
        parts.append(f"{len(gaps)} of {len(results.metrics)} metrics in some clips")
    if weights:
        parts.append(f"{', '.join(weights)} (weights are missing)")
    if random:
        parts.append(f"meaning in the metrics of {', '.join(random)} (random weights)")
    return ", ".join(parts) or "Nothing. Every clip was scored by every metric."


def _after(results: Results, prefix: str, end: str) -> list[str]:
    """Return what the notes that begin with a prefix name, up to an end."""
    return [note.removeprefix(prefix).split(end)[0] for note in results.notes if note.startswith(prefix)]
