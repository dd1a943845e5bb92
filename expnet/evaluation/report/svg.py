"""What the charts of the page share.

Charts are written directly as inline SVG instead of with a plotting library. Their colours are CSS variables of the
page, so that dark mode works, each mark has a tooltip, and a chart is a few kilobytes of text in a page that needs no
other file.
"""

import math
from html import escape

from expnet.evaluation.report.tables import MINUS


def open_svg(width: int, height: float, label: str) -> str:
    """Return the opening tag of a chart; ``label`` describes it for screen readers."""
    return f'<svg class="chart" viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(label, quote=True)}">'


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers (1, 2, 2.5 or 5 times a power of ten) inside a range."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    ticks = [index * step for index in range(first, first + count + 3)]
    return [round(tick, 12) for tick in ticks if tick <= high + step * 1e-9]


def format_tick(value: float) -> str:
    """Format the value at a tick, with a typographic minus sign."""
    return f"{value:g}".replace("-", MINUS)
