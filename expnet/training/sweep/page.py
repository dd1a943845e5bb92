"""The page of a sweep: parallel coordinates and the table of the runs, in one file that needs no network."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from expnet.io.html_template import html_template, packaged_text
from expnet.training.sweep.objective import Objective
from expnet.training.sweep.rows import Row, number_in, short
from expnet.training.sweep.space import Axis, Range, Space

_AXIS_WIDTH = 150
_DECADES = 20.0
"""Positive numbers whose largest is so many times the smallest are shown on a logarithmic axis."""


def render_page(title: str, objective: Objective, space: Space, rows: Sequence[Row]) -> str:
    """Return the page as HTML.

    Args:
        title: Heading of the page.
        objective: What the runs are compared by.
        space: What was tried.
        rows: The runs, best first.
    """
    axes = [_axis(key, axis, [row.record.values.get(key) for row in rows]) for key, axis in space.items()]
    axes.append(_number_axis(objective.name, [row.value for row in rows], log=False))
    # The lowest score may be a run that exploded: colours follow the rank, so that it does not make all others alike.
    scored = [row for row in rows if row.value is not None]
    runs = [
        {
            "name": row.record.name,
            "places": [axis["places"][number] for axis in axes],
            "quality": None if row.value is None else _rank(scored.index(row), len(scored)),
            "finished": row.record.state == "finished",
        }
        for number, row in enumerate(rows)
    ]
    shown = [{"name": axis["name"], "ticks": axis["ticks"]} for axis in axes]
    return html_template("expnet.training.sweep", "page.html").render(
        style=packaged_text("expnet.evaluation.report", "style.css"),
        script=packaged_text("expnet.training.sweep", "parallel_coordinates.js"),
        title=title,
        lead=_lead(objective, rows),
        width=_AXIS_WIDTH * len(axes),
        headings=["run", *space, objective.name, "step", *_speeds(rows), "state"],
        rows=[_cells(row, space, _speeds(rows)) for row in rows],
        data=json.dumps({"axes": shown, "runs": runs}).replace("<", "\\u003c"),
    )


def _lead(objective: Objective, rows: Sequence[Row]) -> str:
    counts = {state: sum(row.record.state == state for row in rows) for state in ("finished", "pruned", "failed")}
    parts = [f"{count} {'stopped early' if state == 'pruned' else state}" for state, count in counts.items() if count]
    better = "higher" if objective.direction == "maximize" else "lower"
    return f"{len(rows)} runs ({', '.join(parts)}), compared by {objective.name}: {better} is better."


def _cells(row: Row, space: Space, speeds: Sequence[str]) -> list[str]:
    state = row.record.state if not row.record.reason else f"{row.record.state}: {row.record.reason}"
    return [
        row.record.name,
        *(short(row.record.values.get(key, "")) for key in space),
        "" if row.value is None else f"{row.value:.4g}",
        "" if row.step is None else str(row.step),
        *(_amount(row.speed[name]) if name in row.speed else "" for name in speeds),
        state,
    ]


def _speeds(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.speed))


def _amount(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _axis(key: str, axis: Axis, texts: Sequence[str | None]) -> dict[str, Any]:
    """Return name, ticks and places of the runs on an axis; numbers lie by their size, other values evenly."""
    numbers = [number_in(text) for text in texts]
    if isinstance(axis, Range):
        return _number_axis(key, numbers, log=axis.log, ends=(axis.low, axis.high))
    known = [number_in(value) for value in axis.values]
    values = [value for value in known if value is not None]
    if len(values) < len(known):
        last = max(1, len(axis.values) - 1)
        ticks = [(place / last, value) for place, value in enumerate(axis.values)]
        places = {value: place for place, value in ticks}
        return {"name": key, "ticks": ticks, "places": [places.get(text or "") for text in texts]}
    log = min(values) > 0 and max(values) / min(values) >= _DECADES
    return _number_axis(key, numbers, log=log, ticks=values)


def _number_axis(
    name: str,
    numbers: Sequence[float | None],
    *,
    log: bool,
    ends: tuple[float, float] | None = None,
    ticks: Sequence[float] = (),
) -> dict[str, Any]:
    known = [number for number in (*numbers, *ticks) if number is not None] or [0.0]
    low, high = ends or (min(known), max(known))
    low, high = min(low, *known), max(high, *known)

    def place(number: float) -> float:
        if high <= low:
            return 0.5
        if log:
            return math.log(number / low) / math.log(high / low)
        return (number - low) / (high - low)

    between = (0.0, 0.25, 0.5, 0.75, 1.0) if high > low else (0.5,)
    marked = [(place(tick), f"{tick:g}") for tick in ticks] or [
        (share, f"{low * (high / low) ** share if log else low + share * (high - low):.3g}") for share in between
    ]
    return {"name": name, "ticks": marked, "places": [None if one is None else place(one) for one in numbers]}


def _rank(place: int, count: int) -> float:
    return 1.0 if count < 2 else 1 - place / (count - 1)
