"""Small charts as inline SVG: intervals, curves and training losses.

Written directly, not through a plotting library: the colours are the page's CSS variables (so that dark mode works),
each mark has a tooltip, and a chart is a few kilobytes of text in a page that needs no other file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import MetricInfo, Results, first_model
from expnet.evaluation.report.tables import MINUS, column_decimals, interval, number

# Width of one digit at the charts' font size, to make room for labels.
_CHARACTER = 7.2
_LONGEST_NAME = 22
_MOST_MARKS = 150


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: label.
        values: y values; NaN breaks the line.
        style: CSS class, ``real``, ``model`` or ``baseline`` for curves, ``train`` or ``validation`` for losses.
        positions: x values, 0, 1, 2, ... by default.
    """

    name: str
    values: Sequence[float]
    style: str = "model"
    positions: Sequence[float] | None = None

    def points(self) -> list[tuple[float, float]]:
        """Pairs of x and y, NaN included."""
        where = range(len(self.values)) if self.positions is None else self.positions
        return [(float(x), float(y)) for x, y in zip(where, self.values, strict=True)]


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) inside a range."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    ticks = [index * step for index in range(first, first + count + 3)]
    return [round(tick, 12) for tick in ticks if tick <= high + step * 1e-9]


def interval_chart(results: Results, info: MetricInfo, *, width: int = 430) -> str:
    """One metric: a dot and its interval for each system, its clips as ticks, and a line where the ground truth lies.

    Systems far outside the rest (a baseline that diverged) must not squeeze the others into a point, so the axis ends
    half a spread beyond the inner ones and an arrow marks what lies outside. The inner eight tenths of the clips of
    every system on the axis are in sight.
    """
    rows = [(system, system.metrics[info.key]) for system in results.systems if info.key in system.metrics]
    rows = [(system, summary) for system, summary in rows if math.isfinite(summary.mean)]
    if not rows:
        return ""
    digits = column_decimals(results, info.key)
    names = [_shortened(system.title) for system, _ in rows]
    first = first_model(results)
    left = 14 + _CHARACTER * max(map(len, names))
    row_height, right = 24, 58
    height = row_height * len(rows) + 30
    low, high = _range([summary.mean for _, summary in rows], [summary.ci95 for _, summary in rows], info.ideal)
    clips = {system.name: _clip_values(results, system.name, info.key) for system, _ in rows}
    low, high = _widened(low, high, [clips[system.name] for system, summary in rows if low <= summary.mean <= high])

    def place(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (width - left - right)

    parts = [_open(width, height, f"{info.title}, {info.unit}")]
    bottom = row_height * len(rows) + 6
    for tick in nice_ticks(low, high):
        x = place(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{_tick(tick)}</text>')
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


def line_chart(
    series: Sequence[Series],
    *,
    label: str,
    width: int = 1040,
    height: int = 170,
    seconds_per_step: float | None = None,
    shaded: Sequence[bool] = (),
    log_scale: bool = False,
) -> str:
    """Lines over time or steps.

    Args:
        series: drawn in order, the first below the others.
        label: what the chart shows, for screen readers.
        width: of the drawing; the page scales it.
        height: of the drawing.
        seconds_per_step: turns positions into seconds on the x axis.
        shaded: one flag a position; runs of True are shaded (silence).
        log_scale: logarithmic y axis.
    """
    points = [point for line in series for point in line.points() if math.isfinite(point[1])]
    points = [point for point in points if not log_scale or point[1] > 0]
    if len(points) < 2:
        return ""
    left, right, top, bottom = 48.0, 12.0, 8.0, height - 24.0
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    x_high = x_high if x_high > x_low else x_low + 1.0
    ys = [math.log10(y) if log_scale else y for _, y in points]
    y_low, y_high = min(ys), max(ys)
    margin = (y_high - y_low) * 0.06 or abs(y_high) * 0.1 or 1.0
    y_low, y_high = y_low - margin, y_high + margin

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (x - x_low) / (x_high - x_low) * (width - left - right), bottom - (y - y_low) / (
            y_high - y_low
        ) * (bottom - top)

    parts = [_open(width, height, label)]
    for start, end in _runs(shaded):
        first, last = place(start, y_low)[0], place(min(end, x_high), y_low)[0]
        size = f'width="{max(last - first, 1):.1f}" height="{bottom - top:.1f}"'
        parts.append(f'<rect class="silent" x="{first:.1f}" y="{top}" {size}><title>silence</title></rect>')
    for tick in _log_ticks(y_low, y_high) if log_scale else nice_ticks(y_low, y_high, 3):
        _, y = place(x_low, tick)
        text = _tick(float(f"{10.0**tick:.0e}")) if log_scale else _tick(tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    scale = seconds_per_step or 1.0
    for tick in nice_ticks(x_low * scale, x_high * scale, max(width // 150, 2)):
        x, _ = place(tick / scale, y_low)
        text = f"{tick:g} s" if seconds_per_step else _tick(tick)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{text}</text>')
    for line in series:
        path = _path([(x, math.log10(y) if log_scale and y > 0 else y) for x, y in line.points()], place)
        parts.append(f'<path class="line {line.style}" d="{path}"><title>{escape(line.name)}</title></path>')
    return "".join([*parts, "</svg>"])


def training_series(columns: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, list[Series]]:
    """Pair the training and validation columns of a run's ``metrics.csv``.

    Args:
        columns: (step, value) pairs by column name, such as ``train/loss`` or ``val_loss``.

    Returns:
        Lines by what they measure (``loss``, ...), in order of first appearance.
    """
    charts: dict[str, list[Series]] = {}
    for name, pairs in columns.items():
        side, measure = _split_column(name)
        if side and len(pairs) > 1:
            steps, values = zip(*pairs, strict=True)
            charts.setdefault(measure, []).append(Series(side, values, side, steps))
    return charts


def _split_column(name: str) -> tuple[str, str]:
    """``train/loss_step`` -> (train, loss); other columns (epoch, lr, ...) have no side."""
    for prefix, side in (("train", "train"), ("validation", "validation"), ("val", "validation")):
        for separator in ("/", "_", "."):
            if name.startswith(prefix + separator):
                measure = name[len(prefix) + 1 :]
                return side, measure.removesuffix("_step").removesuffix("_epoch").replace("_", " ")
    return "", name


def _range(
    means: Sequence[float], bounds: Sequence[tuple[float, float] | None], ideal: float | None
) -> tuple[float, float]:
    """Axis of an interval chart: all systems, unless some lie far outside the inner ones."""
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
    """Values of a system's clips in order, thinned where they are too many to tell apart."""
    values = [row.values[key] for row in results.clips if row.system == system and key in row.values]
    values = sorted(value for value in values if math.isfinite(value))
    return values[:: math.ceil(len(values) / _MOST_MARKS) or 1]


def _widened(low: float, high: float, clips: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Widen an axis until it shows the inner eight tenths of the clips of each system."""
    for values in clips:
        if values:
            edge = len(values) // 10
            low, high = min(low, values[edge]), max(high, values[-1 - edge])
    return low, high


def _log_ticks(low: float, high: float) -> list[float]:
    """Logarithms of the powers of ten in a range, and of their double and fivefold where there is room."""
    factors = (1, 2, 5) if high - low < 2 else (1,)
    ticks = [math.log10(factor) + power for power in range(math.floor(low), math.ceil(high) + 1) for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def _open(width: int, height: float, label: str) -> str:
    return f'<svg class="chart" viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(label, quote=True)}">'


def _arrow(x: float, y: float, side: int) -> str:
    """A triangle at the edge of the axis: the value lies beyond it."""
    return f'<path class="dot" d="M{x - 5 * side:.1f} {y - 5}L{x + 4 * side:.1f} {y}L{x - 5 * side:.1f} {y + 5}Z"/>'


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def _path(points: Sequence[tuple[float, float]], place: object) -> str:
    """SVG path through the points, lifted at NaN."""
    commands, lifted = [], True
    for x, y in points:
        if not math.isfinite(y):
            lifted = True
            continue
        screen_x, screen_y = place(x, y)  # type: ignore[operator]
        commands.append(f"{'M' if lifted else 'L'}{screen_x:.1f} {screen_y:.1f}")
        lifted = False
    return "".join(commands)


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each run of True."""
    runs, start = [], None
    for index, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = index
        elif not flag and start is not None:
            runs.append((start, index))
            start = None
    return runs
