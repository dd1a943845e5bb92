"""The result table in Markdown, and how its numbers are formatted everywhere."""

import math

from expnet.evaluation.report.best_systems import best_systems
from expnet.evaluation.report.decimals import metric_decimals
from expnet.evaluation.report.results import MetricInfo, MetricSummary, Results, SystemResult
from expnet.evaluation.report.unscored import unscored_lines
from expnet.io.markdown import markdown_table

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
"""Stands where there is no value."""


def direction(info: MetricInfo) -> str:
    """Return the arrow of a column: up, down, or the value to aim at."""
    if info.higher_is_better is not None:
        return "↑" if info.higher_is_better else "↓"
    return f"→ {info.ideal:g}" if info.ideal is not None else "→ real"


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """Format a value with a typographic minus sign; a dash if there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:  # never "-0.000"
        text = f"{0:.{digits}f}"
    return text.replace("-", MINUS)


def interval(summary: MetricSummary, digits: int) -> str:
    """Format a 95 % interval in brackets; empty if there is none."""
    if summary.ci95 is None:
        return ""
    return f"[{number(summary.ci95[0], digits)}, {number(summary.ci95[1], digits)}]"


def results_as_markdown(results: Results) -> str:
    """Return the table in Markdown, with metrics as rows, so that it stays readable however many there are."""
    names = [system.title for system in results.systems]
    rows = []
    for info in results.metrics:
        best = best_systems(results, info)
        cells = [_markdown_cell(results, system, info, system.name in best) for system in results.systems]
        rows.append([f"{info.title} {direction(info)}", info.unit, *cells])
    counts = ", ".join(f"{key} {value}" for key, value in table_sizes(results).items())
    lines = [
        markdown_table(["metric", "unit", *names], rows, align="llr"),
        "",
        f"Mean over clips, 95 % interval by bootstrap ({counts}). Protocol `{results.protocol_hash}`. "
        "**Bold**: best of the models and baselines on the clips that all of them have; "
        "systems that do not use the audio are never called best.",
    ]
    if results.preset is not None:
        lines[-1] += f" {results.preset.line}"
        lines += [f"- Not as {results.preset.title}: {text}" for text in results.preset.differs]
    lines += [f"- {line}" for line in unscored_lines(results)]
    lines += [f"- {note}" for note in results.notes]
    return "\n".join(lines) + "\n"


def table_sizes(results: Results) -> dict[str, int]:
    """Return how much was scored."""
    # Real clips that are not paired are other clips than those of the systems, which are counted.
    shown = next((system for system in results.systems if system.kind != "reference"), None)
    shown = shown or (results.systems[0] if results.systems else None)
    rows = [row for row in results.clips if shown is not None and row.system == shown.name]
    failed = len({row.clip_id for row in results.clips if row.status != "ok"})
    return {"clips": len(rows), "people": len({row.speaker for row in rows}), "clips with a failure": failed}


def differing_count(results: Results, key: str, summary: MetricSummary) -> str:
    """Return ``n 5`` for a score of fewer clips than others of its column have, else an empty text."""
    systems = [system for system in results.systems if key in system.metrics]
    if results.protocol.get("real clips"):  # a set that is not paired has a number of clips of its own
        systems = [system for system in systems if system.kind != "reference"]
    most = max((system.metrics[key].n for system in systems), default=summary.n)
    if not any(system.metrics[key] is summary for system in systems):
        return f"n {summary.n}"
    return f"n {summary.n}" if summary.n < most else ""


def _markdown_cell(results: Results, system: SystemResult, info: MetricInfo, best: bool) -> str:
    summary = system.metrics.get(info.key)
    if summary is None or not math.isfinite(summary.mean):
        return NONE
    digits, count = metric_decimals(info), differing_count(results, info.key, summary)
    value = number(summary.mean, digits)
    parts = [f"**{value}**" if best else value, interval(summary, digits), f"({count})" if count else ""]
    return " ".join(part for part in parts if part)
