"""The length curve as tables and as a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from expnet.evaluation.report.results import Results
from expnet.evaluation.report.tables import NONE, number
from expnet.io.markdown import markdown_table


@dataclass(frozen=True)
class Point:
    """One attention bias at one length.

    Attributes:
        variant: The name of the variant.
        bias: Its attention bias.
        frames: The length.
        mean: The mean mouth-opening correlation.
        ci95: Its interval over people.
        change: The paired difference to the shortest length, None for that length.
        change_ci95: The interval of the change.
        p: The p value of a sign-flip test of the change over people, not corrected.
        difference: The paired difference to the reference at this length, None for the reference.
        difference_ci95: The interval of the difference.
    """

    variant: str
    bias: str
    frames: int
    mean: float
    ci95: tuple[float, float] | None
    change: float | None = None
    change_ci95: tuple[float, float] | None = None
    p: float | None = None
    difference: float | None = None
    difference_ci95: tuple[float, float] | None = None


def curve_as_markdown(points: Sequence[Point], lengths: Sequence[int], results: Results) -> str:
    """Write the curve and the differences between biases, one row for each bias and one column for each length."""
    header = ["attention bias", *(f"{length} frames" for length in lengths)]
    curve, differences = [], []
    for name in dict.fromkeys(point.variant for point in points):
        own = [point for point in points if point.variant == name]
        curve.append([own[0].bias, *map(_cell, own)])
        if own[0].difference is not None:
            differences.append([own[0].bias, *(_change(point.difference, point.difference_ci95) for point in own)])
    clips = {row.clip_id for row in results.clips}
    people = {row.speaker for row in results.clips}
    lines = [
        f"Mouth-opening correlation, 95 % interval by bootstrap over people ({len(clips)} clips, {len(people)} "
        f"people). In round brackets: paired change against {lengths[0]} frames, its interval, p of a sign-flip test.",
        "",
        markdown_table(header, curve, align="lr"),
    ]
    if differences:
        heading = f"Paired difference to {points[0].bias} at the same length:"
        lines += ["", heading, "", markdown_table(header, differences, align="lr")]
    return "\n".join([*lines, "", *(f"- {note}" for note in results.notes)]) + "\n"


def _cell(point: Point) -> str:
    """Write a point of the curve and its change since the shortest length."""
    if not math.isfinite(point.mean):
        return NONE
    text = number(point.mean, 3) + _bounds(point.ci95, signed=False)
    if point.change is None:
        return text
    return f"{text} ({_change(point.change, point.change_ci95)}, p {number(point.p, 3)})"


def _change(value: float | None, ci95: tuple[float, float] | None) -> str:
    return number(value, 3, signed=True) + _bounds(ci95, signed=True)


def _bounds(ci95: tuple[float, float] | None, *, signed: bool) -> str:
    return "" if ci95 is None else f" [{', '.join(number(end, 3, signed=signed) for end in ci95)}]"


def draw_curve(points: Sequence[Point], lengths: Sequence[int], folder: Path) -> None:
    """Write curve.svg and curve.pdf: one line for each bias, with its interval over people."""
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, name in enumerate(dict.fromkeys(point.variant for point in points)):
        own = [point for point in points if point.variant == name]
        # Shifted slightly, so that the whiskers at one length do not hide one another.
        x = [point.frames * 1.02**index for point in own]
        y = [point.mean for point in own]
        spread = [[0.0, 0.0] if p.ci95 is None else [p.mean - p.ci95[0], p.ci95[1] - p.mean] for p in own]
        below, above = zip(*spread, strict=True)
        axes.errorbar(x, y, yerr=(below, above), marker="o", markersize=4, capsize=2, linewidth=1.4, label=own[0].bias)
    axes.set_xscale("log")
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.minorticks_off()
    axes.set_xlabel("frames that the network sees at once (25 a second)")
    axes.set_ylabel("mouth-opening correlation")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(title="attention bias", frameon=False, loc="outside right center")
    for suffix in ("svg", "pdf"):
        figure.savefig(folder / f"curve.{suffix}")
