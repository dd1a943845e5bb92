"""The runs of a sweep as rows of its table: what each tried, how it ended, its best score, its speed."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expnet.training.sweep.plan import Plan
from expnet.training.sweep.record import Record


@dataclass(frozen=True)
class Row:
    """A run.

    Attributes:
        record: What it tries and how it ended.
        value: Its best score; None if it has none.
        step: Step of the best score.
        speed: Frames per second, share of time that waits for data, and memory, by name.
    """

    record: Record
    value: float | None
    step: int | None
    speed: dict[str, float]


def sweep_rows(plan: Plan, records: Sequence[Record]) -> list[Row]:
    """Return the rows of runs, in the same order."""
    rows = []
    for record in records:
        folder = plan.folder / "runs" / record.name
        best = plan.objective.best(folder)
        value, step = (best.value, best.step) if best is not None else (None, None)
        rows.append(Row(record, value, step, _speed(folder)))
    return rows


def best_first(plan: Plan, rows: Sequence[Row]) -> list[Row]:
    """Return the rows by their scores, those without one last."""
    scored = [row for row in rows if row.value is not None]
    scored.sort(key=lambda row: plan.objective.quality(row.value or 0.0), reverse=True)
    return scored + [row for row in rows if row.value is None]


def number_in(text: str | None) -> float | None:
    """Return the finite number that a text is; None for any other text."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def short(text: str) -> str:
    """Return a number of many digits with four of them, and any other text as it is."""
    number = number_in(text)
    return text if number is None or len(text) <= 7 else f"{number:.4g}"


def _speed(folder: Path) -> dict[str, float]:
    """Return the last row of the speed.csv of a run, without its step; empty if there is none yet."""
    path = folder / "speed.csv"
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = {name.removeprefix("speed/"): number_in(text) for name, text in (rows[-1] if rows else {}).items()}
    return {name: number for name, number in known.items() if number is not None and name not in ("step", "epoch")}
