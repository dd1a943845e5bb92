"""What comes out of a sweep: a table of its runs (CSV, and printed) and a page with parallel coordinates."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expnet.io.atomic import write_atomically
from expnet.io.machine_faults import writing_failed
from expnet.io.markdown import markdown_table
from expnet.training.sweep.page import render_page
from expnet.training.sweep.plan import Plan
from expnet.training.sweep.record import Record
from expnet.training.sweep.rows import Row, best_first, short, sweep_rows

TABLE = "trials.csv"
PAGE = "index.html"
_SHOWN = 40
"""Rows that are printed; the file has all."""


@dataclass(frozen=True)
class SweepReport:
    """The written report.

    Attributes:
        text: What is printed: the table, best first, the best run, and the paths.
        best: The best run; None if no run has a score.
    """

    text: str
    best: Row | None


def report_sweep(plan: Plan, records: Sequence[Record]) -> SweepReport:
    """Write ``trials.csv`` and ``index.html`` into the folder of a sweep.

    Raises:
        ExpnetError: The folder cannot be written to.
    """
    rows = sweep_rows(plan, records)
    ordered = best_first(plan, rows)
    best = next((row for row in ordered if row.record.state == "finished"), None)
    page = render_page(plan.folder.absolute().name, plan.objective, plan.space, ordered)
    try:
        write_atomically(plan.folder / TABLE, _csv(plan, rows))
        write_atomically(plan.folder / PAGE, page)
    except OSError as error:
        raise writing_failed(plan.folder, error) from error
    lines = [_printed(plan, ordered), ""]
    if best is not None:
        folder = plan.folder / "runs" / best.record.name
        lines.append(f"Best: {plan.objective.name} {best.value:.6g} at step {best.step}: {folder}")
    lines += [str(plan.folder / TABLE), str(plan.folder / PAGE), ""]
    return SweepReport("\n".join(lines), best)


def _csv(plan: Plan, rows: Sequence[Row]) -> str:
    """Return the table, in the order in which the runs were started, an empty cell for what is not known."""
    speeds = list(dict.fromkeys(name for row in rows for name in row.speed))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "state", plan.objective.name, "step", *plan.space, *speeds, "reason"])
    for row in rows:
        values: list[Any] = [row.record.values.get(key, "") for key in plan.space]
        speed = [row.speed.get(name, "") for name in speeds]
        score = ["" if row.value is None else repr(row.value), "" if row.step is None else row.step]
        writer.writerow([row.record.name, row.record.state, *score, *values, *speed, row.record.reason])
    return text.getvalue()


def _printed(plan: Plan, rows: Sequence[Row]) -> str:
    arrow = "↑" if plan.objective.direction == "maximize" else "↓"
    header = ["run", *plan.space, f"{plan.objective.name} {arrow}", "step", "state"]
    cells = [
        [
            row.record.name,
            *(short(row.record.values.get(key, "")) for key in plan.space),
            "" if row.value is None else f"{row.value:.4g}",
            "" if row.step is None else row.step,
            row.record.state,
        ]
        for row in rows[:_SHOWN]
    ]
    more = f"\n({len(rows) - _SHOWN} more in {TABLE})" if len(rows) > _SHOWN else ""
    return markdown_table(header, cells, align="l" + "r" * (len(plan.space) + 2) + "l") + more
