"""A chart of one metric: mean, interval and clips of every system."""

import math
from collections.abc import Sequence
from html import escape

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import (
    MetricInfo,
    Results,
    first_model,
)
from expnet.evaluation.report.svg import format_tick, nice_ticks, open_svg
from expnet.evaluation.report.tables import column_decimals, interval, number

_CHARACTER_WIDTH = 7.2
"""Width of one digit at the font size of the charts, to leave room for labels."""
_LONGEST_NAME = 22
_MOST_MARKS = 150


def interval_chart(results: Results, info: MetricInfo, *, width: int = 430) -> str:
    """Draw one metric: a dot and an interval for each system, its clips as ticks, and a line at the ground truth.

    Systems far from the rest, such as a baseline that diverged, must not squeeze the others into a point. The axis then
    ends half a spread beyond the inner systems, and an arrow marks what lies outside. The inner 80 % of the clips of
    every system on the axis are always visible.
    """
    rows = [(system, system.metrics[info.key]) for system in results.systems if info.key in system.metrics]
    rows = [(system, summary) for system, summary in rows if math.isfinite(summary.mean)]
    if not rows:
        return ""
    digits = column_decimals(results, info.key)
    names = [_shortened(system.title) for system, _ in rows]
    first = first_model(results)
    left = 14 + _CHARACTER_WIDTH * max(map(len, names))
    row_height, right = 24, 58
    height = row_height * len(rows) + 30
    low, high = _range([summary.mean for _, summary in rows], [summary.ci95 for _, summary in rows], info.ideal)
    clips = {system.name: _clip_values(results, system.name, info.key) for system, _ in rows}
    low, high = _widened(low, high, [clips[system.name] for system, summary in rows if low <= summary.mean <= high])

    def place(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (width - left - right)

    parts = [open_svg(width, height, f"{info.title}, {info.unit}")]
    bottom = row_height * len(rows) + 6
    for tick in nice_ticks(low, high):
        x = place(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{format_tick(tick)}</text>'
        )
    truth = next((summary.mean for system, summary in rows if system.name == GROUND_TRUTH), None)
    if truth is not None:
        x = place(truth)
        parts.append(f'<line class="truth" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
    for index, (system, summary) in enumerate(rows):
        y = row_height * index + row_height / 2 + 4
        label = f"{system.title}: {number(summary.mean, digits)} {interval(summary, digits)} {info.unit}, n {summary.n}"
        style = "first" if system is first else system.kind
        parts.append(f'<g class="{style}"><title>{escape(label)}</title>')
        parts.append(
            f'<text class="name" x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(names[index])}</text>'
        )
        marks = [place(value) for value in clips[system.name] if low <= value <= high]
        if marks:
            path = "".join(f"M{x:.1f} {y - 7}v14" for x in marks)
            parts.append(f'<path class="clip" d="{path}"/>')
        if summary.ci95 is not None:
            start, end = place(summary.ci95[0]), place(summary.ci95[1])
            parts.append(f'<line class="whisker" x1="{start:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}"/>')
        if low <= summary.mean <= high:
            parts.append(f'<circle class="dot" cx="{place(summary.mean):.1f}" cy="{y}" r="4.6"/>')
        else:
            parts.append(_arrow(place(summary.mean), y, 1 if summary.mean > high else -1))
        value = number(summary.mean, digits)
        parts.append(f'<text class="value" x="{width - 4}" y="{y + 4:.1f}" text-anchor="end">{value}</text></g>')
    return "".join([*parts, "</svg>"])


def _range(
    means: Sequence[float], bounds: Sequence[tuple[float, float] | None], ideal: float | None
) -> tuple[float, float]:
    """Choose the axis of an interval chart: all systems, unless some lie far from the inner ones."""
    values = [*means, *(edge for pair in bounds if pair for edge in pair)]
    if ideal is not None and min(values) - 1 <= ideal <= max(values) + 1:
        values.append(ideal)
    low, high = min(values), max(values)
    ordered, most = sorted(means), max(2, math.ceil(len(means) * 0.75))
    lower, upper = ordered[:most], ordered[-most:]
    spread = lower[-1] - lower[0]
    if len(means) > 3 and 0 < 4 * spread < ordered[-1] - lower[-1]:
        high = lower[-1] + spread / 2
    spread = upper[-1] - upper[0]
    if len(means) > 3 and 0 < 4 * spread < upper[0] - ordered[0]:
        low = upper[0] - spread / 2
    margin = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _clip_values(results: Results, system: str, key: str) -> list[float]:
    """Return the values of a system's clips in order, thinned where there are too many to tell apart."""
    values = [row.values[key] for row in results.clips if row.system == system and key in row.values]
    values = sorted(value for value in values if math.isfinite(value))
    return values[:: math.ceil(len(values) / _MOST_MARKS) or 1]


def _widened(low: float, high: float, clips: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Widen an axis until it shows the inner 80 % of the clips of each system."""
    for values in clips:
        if values:
            edge = len(values) // 10
            low, high = min(low, values[edge]), max(high, values[-1 - edge])
    return low, high


def _arrow(x: float, y: float, side: int) -> str:
    """Draw a triangle at the edge of the axis, for a value beyond it."""
    return f'<path class="dot" d="M{x - 5 * side:.1f} {y - 5}L{x + 4 * side:.1f} {y}L{x - 5 * side:.1f} {y + 5}Z"/>'
