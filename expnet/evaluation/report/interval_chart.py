"""A chart of one metric: mean, interval and clips of every system."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.decimals import metric_decimals
from expnet.evaluation.report.line_chart import other_style
from expnet.evaluation.report.results import MetricInfo, MetricSummary, Results, first_model
from expnet.evaluation.report.svg import format_tick, nice_ticks, open_svg
from expnet.evaluation.report.tables import interval, number

_CHARACTER_WIDTH = 7.2
"""Width of one digit at the font size of the charts, to leave room for labels."""
_ROW_HEIGHT = 24
_VALUE_WIDTH = 58
_LONGEST_NAME = 22
_MOST_MARKS = 150


@dataclass(frozen=True)
class _Axis:
    """The horizontal axis: values from ``low`` to ``high`` on pixels from ``left`` to ``right``."""

    low: float
    high: float
    left: float
    right: float

    def place(self, value: float) -> float:
        """Return the position of a value; one beyond the axis lies at its end."""
        inside = min(max(value, self.low), self.high)
        return self.left + (inside - self.low) / (self.high - self.low) * (self.right - self.left)

    def shows(self, value: float) -> bool:
        """Return whether a value lies on the axis."""
        return self.low <= value <= self.high


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
    low, high = _range([summary.mean for _, summary in rows], [summary.ci95 for _, summary in rows], info.ideal)
    clips = {system.name: _clip_values(results, system.name, info.key) for system, _ in rows}
    low, high = _widened(low, high, [clips[system.name] for system, summary in rows if low <= summary.mean <= high])
    left = 14 + _CHARACTER_WIDTH * max(len(_shortened(system.title)) for system, _ in rows)
    axis = _Axis(low, high, left, width - _VALUE_WIDTH)
    parts = [open_svg(width, _ROW_HEIGHT * len(rows) + 30, f"{info.title}, {info.unit}")]
    parts += _grid(axis, _ROW_HEIGHT * len(rows) + 6)
    truth = next((summary.mean for system, summary in rows if system.name == GROUND_TRUTH), None)
    if truth is not None:
        x = axis.place(truth)
        bottom = _ROW_HEIGHT * len(rows) + 6
        parts.append(f'<line class="truth" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
    digits, styles = metric_decimals(info), system_styles(results)
    for index, (system, summary) in enumerate(rows):
        y = _ROW_HEIGHT * index + _ROW_HEIGHT / 2 + 4
        label = f"{system.title}: {number(summary.mean, digits)} {interval(summary, digits)} {info.unit}, n {summary.n}"
        name, value = escape(_shortened(system.title)), number(summary.mean, digits)
        parts += [
            f'<g class="{styles[system.name]}"><title>{escape(label)}</title>',
            f'<text class="name" x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{name}</text>',
            *_marks(axis, y, summary, clips[system.name]),
            f'<text class="value" x="{width - 4}" y="{y + 4:.1f}" text-anchor="end">{value}</text></g>',
        ]
    return "".join([*parts, "</svg>"])


def system_styles(results: Results) -> dict[str, str]:
    """Return the class of each system's marks: the models have the colours of their lines in other charts."""
    first = first_model(results)
    models = [system for system in results.systems if system.kind == "model" and system is not first]
    numbered = {system.name: f"model {other_style(number)}" for number, system in enumerate(models)}
    kinds = {system.name: "first" if system is first else system.kind for system in results.systems}
    return {**kinds, **numbered}


def _grid(axis: _Axis, bottom: int) -> list[str]:
    """Draw the grid lines and the values below them."""
    parts = []
    for tick in nice_ticks(axis.low, axis.high):
        x, text = axis.place(tick), format_tick(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{text}</text>')
    return parts


def _marks(axis: _Axis, y: float, summary: MetricSummary, clips: Sequence[float]) -> list[str]:
    """Draw the clips, the interval and the mean of one system."""
    parts = []
    path = "".join(f"M{axis.place(value):.1f} {y - 7}v14" for value in clips if axis.shows(value))
    if path:
        parts.append(f'<path class="clip" d="{path}"/>')
    if summary.ci95 is not None:
        start, end = axis.place(summary.ci95[0]), axis.place(summary.ci95[1])
        parts.append(f'<line class="whisker" x1="{start:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}"/>')
    mean = axis.place(summary.mean)
    if axis.shows(summary.mean):
        parts.append(f'<circle class="dot" cx="{mean:.1f}" cy="{y}" r="4.6"/>')
    else:
        parts.append(_arrow(mean, y, 1 if summary.mean > axis.high else -1))
    return parts


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
