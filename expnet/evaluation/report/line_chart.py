"""A chart of lines over time or training steps: mouth openings and losses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from expnet.evaluation.report.svg import format_tick, nice_ticks, open_svg

_LEFT, _RIGHT, _TOP, _BELOW = 48.0, 12.0, 8.0, 24.0
"""Pixels around the lines, for the labels of the axes."""


_OTHER_COLOURS = 12
"""Colours of style.css for systems beside the first one."""


def other_style(number: int) -> str:
    """Return the CSS classes of the ``number``-th system beside the first: a colour, dotted when they are used up."""
    return f"other-{number % _OTHER_COLOURS + 1}" + (" again" if number >= _OTHER_COLOURS else "")


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: The label.
        values: The y values; NaN interrupts the line.
        style: The CSS classes: ``real``, ``model``, ``baseline`` or those of `other_style` for curves, ``train`` or
            ``validation`` for losses.
        positions: The x values, 0, 1, 2, ... by default.
    """

    name: str
    values: Sequence[float]
    style: str = "model"
    positions: Sequence[float] | None = None

    def points(self) -> list[tuple[float, float]]:
        """Return pairs of x and y, including NaN."""
        positions = range(len(self.values)) if self.positions is None else self.positions
        return [(float(x), float(y)) for x, y in zip(positions, self.values, strict=True)]


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
    """Draw lines over time or training steps.

    Args:
        series: The lines, drawn in order; later ones lie on top.
        label: What the chart shows, for screen readers.
        width: The width of the drawing, which the page scales.
        height: The height of the drawing.
        seconds_per_step: Converts positions to seconds on the x axis.
        shaded: One flag for each position; silent stretches are shaded.
        log_scale: Whether the y axis is logarithmic.
    """
    points = [point for line in series for point in line.points() if math.isfinite(point[1])]
    points = [point for point in points if not log_scale or point[1] > 0]
    if len(points) < 2:
        return ""
    area = _PlotArea.around([(x, math.log10(y) if log_scale else y) for x, y in points], width, height)
    parts = [open_svg(width, height, label), *_silence(area, shaded)]
    for tick in _log_ticks(area.y_low, area.y_high) if log_scale else nice_ticks(area.y_low, area.y_high, 3):
        _, y = area.place(area.x_low, tick)
        text = format_tick(float(f"{10.0**tick:.0e}")) if log_scale else format_tick(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    scale = seconds_per_step or 1.0
    for tick in nice_ticks(area.x_low * scale, area.x_high * scale, max(width // 150, 2)):
        x, _ = area.place(tick / scale, area.y_low)
        text = f"{tick:g} s" if seconds_per_step else format_tick(tick)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{text}</text>')
    for line in series:
        path = _path([(x, math.log10(y) if log_scale and y > 0 else y) for x, y in line.points()], area)
        parts.append(f'<path class="line {line.style}" d="{path}"><title>{escape(line.name)}</title></path>')
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True)
class _PlotArea:
    """Ranges of the values, and the pixels on which they are drawn."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    width: float
    bottom: float

    @classmethod
    def around(cls, points: Sequence[tuple[float, float]], width: int, height: int) -> "_PlotArea":
        """Choose ranges that hold all points, with a margin above and below."""
        x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
        y_low, y_high = min(y for _, y in points), max(y for _, y in points)
        margin = (y_high - y_low) * 0.06 or abs(y_high) * 0.1 or 1.0
        x_high = x_high if x_high > x_low else x_low + 1.0
        return cls(x_low, x_high, y_low - margin, y_high + margin, width - _LEFT - _RIGHT, height - _BELOW)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point."""
        across = (x - self.x_low) / (self.x_high - self.x_low)
        up = (y - self.y_low) / (self.y_high - self.y_low)
        return _LEFT + across * self.width, self.bottom - up * (self.bottom - _TOP)


def _silence(area: _PlotArea, shaded: Sequence[bool]) -> list[str]:
    """Shade the stretches of silence."""
    parts = []
    for start, end in _runs(shaded):
        first, last = area.place(start, area.y_low)[0], area.place(min(end, area.x_high), area.y_low)[0]
        size = f'width="{max(last - first, 1):.1f}" height="{area.bottom - _TOP:.1f}"'
        parts.append(f'<rect class="silent" x="{first:.1f}" y="{_TOP}" {size}><title>silence</title></rect>')
    return parts


def training_series(columns: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, list[Series]]:
    """Pair the training and validation columns of a run's ``metrics.csv``.

    Args:
        columns: Pairs of step and value by column name, such as ``train/loss`` or ``val_loss``.

    Returns:
        The lines by the quantity they show (``loss``, ...), in order of first appearance.
    """
    charts: dict[str, list[Series]] = {}
    for name, pairs in columns.items():
        side, measure = _split_column(name)
        if side and len(pairs) > 1:
            steps, values = zip(*pairs, strict=True)
            charts.setdefault(measure, []).append(Series(side, values, side, steps))
    return charts


def _split_column(name: str) -> tuple[str, str]:
    """Split ``train/loss_step`` into (train, loss); other columns (epoch, lr, ...) have no side."""
    for prefix, side in (("train", "train"), ("validation", "validation"), ("val", "validation")):
        for separator in ("/", "_", "."):
            if name.startswith(prefix + separator):
                measure = name[len(prefix) + 1 :]
                return side, measure.removesuffix("_step").removesuffix("_epoch").replace("_", " ")
    return "", name


def _log_ticks(low: float, high: float) -> list[float]:
    """Return the logarithms of the powers of ten in a range, and of 2 and 5 times these where there is room."""
    factors = (1, 2, 5) if high - low < 2 else (1,)
    ticks = [math.log10(factor) + power for power in range(math.floor(low), math.ceil(high) + 1) for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def _path(points: Sequence[tuple[float, float]], area: _PlotArea) -> str:
    """Return the SVG path through the points, interrupted at NaN."""
    commands, lifted = [], True
    for x, y in points:
        if not math.isfinite(y):
            lifted = True
            continue
        screen_x, screen_y = area.place(x, y)
        commands.append(f"{'M' if lifted else 'L'}{screen_x:.1f} {screen_y:.1f}")
        lifted = False
    return "".join(commands)


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Return start and end (exclusive) of each run of True."""
    runs, start = [], None
    for index, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = index
        elif not flag and start is not None:
            runs.append((start, index))
            start = None
    return runs
