"""One self-contained page: the table, what each metric means, curves, frames and videos."""

import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from expnet.evaluation.report.first_screen import at_a_glance, headline_tiles
from expnet.evaluation.report.interval_chart import interval_chart
from expnet.evaluation.report.line_chart import Series, line_chart, training_series
from expnet.evaluation.report.page_sections import (
    clip_rows_table,
    difference_table,
    score_table,
    side_by_side,
    systems_are_rows,
)
from expnet.evaluation.report.results import MetricInfo, Results, first_model
from expnet.evaluation.report.tables import direction
from expnet.evaluation.report.unscored import unscored_lines
from expnet.io.html_template import html_template, packaged_text

_MOST_POINTS = 600
_MOST_TRAINING_CHARTS = 6


@dataclass(frozen=True)
class CurveExample:
    """The mouth opening in one clip, real and predicted.

    Attributes:
        title: Why this clip is shown (best, median, worst).
        clip_id: The name of the clip.
        note: Its scores in words.
        series: The curves, the real one first.
        silent: One flag for each frame.
        fps: The frame rate.
    """

    title: str
    clip_id: str
    note: str
    series: tuple[Series, ...]
    silent: tuple[bool, ...] = ()
    fps: float = 25.0


@dataclass(frozen=True)
class Strip:
    """Frames of one clip, one row for each system.

    Attributes:
        title: The title of the strip.
        times: The times of the columns in seconds.
        rows: Label and frames of each row, uint8 RGB (H, W, 3), one frame for each column.
        video: The path of a video relative to the page, empty if there is none.
    """

    title: str
    times: tuple[float, ...]
    rows: tuple[tuple[str, tuple[NDArray[np.uint8], ...]], ...]
    video: str = ""


@dataclass(frozen=True)
class Example:
    """One clip as a video, all systems side by side.

    Attributes:
        title: Why this clip is shown (worst, best).
        clip_id: The name of the clip.
        note: Its scores in words.
        video: The path of the video with audio, relative to the page.
    """

    title: str
    clip_id: str
    note: str
    video: str


@dataclass(frozen=True)
class ExampleGroup:
    """The worst and best clips by one metric.

    Attributes:
        info: The metric.
        examples: The clips, the worst and the best in turns.
    """

    info: MetricInfo
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Extras:
    """What a page shows besides the scores.

    Attributes:
        curves: Clips with their mouth opening.
        strips: Clips as strips of frames.
        examples: Clips as videos, the worst and the best ones by each metric, the leading metric first.
        training: The ``metrics.csv`` of training runs, by title.
    """

    curves: tuple[CurveExample, ...] = ()
    strips: tuple[Strip, ...] = ()
    examples: tuple[ExampleGroup, ...] = ()
    training: Mapping[str, Path] = field(default_factory=dict)


def render_page(results: Results, extras: Extras | None = None) -> str:
    """Return the page as HTML; only its videos are separate files."""
    extras = extras or Extras()
    template = html_template("expnet.evaluation.report", "template.html")
    failed = [row for row in results.clips if row.status != "ok"]
    return template.render(
        style=packaged_text("expnet.evaluation.report", "style.css"),
        results=results,
        table=score_table(results),
        systems_as_rows=systems_are_rows(results),
        side_by_side=side_by_side,
        first=first_model(results),
        differences=difference_table(results),
        trivial=any(system.kind == "trivial" for system in results.systems),
        failed=failed,
        failed_clips=len({row.clip_id for row in failed}),
        unscored=unscored_lines(results),
        charts=[(info, direction(info), interval_chart(results, info)) for info in results.metrics],
        headline=headline_tiles(results),
        glance=at_a_glance(results),
        curves=[(example, _curve_chart(example)) for example in extras.curves],
        strips=[_strip(strip) for strip in extras.strips],
        examples=extras.examples,
        clipless=_without_clips(results, extras.examples),
        training=_training(extras.training),
        per_clip=clip_rows_table(results),
        direction=direction,
        protocol=_flat(results.protocol),
        details=_flat(results.details),
    )


def _without_clips(results: Results, groups: Sequence[ExampleGroup]) -> list[str]:
    """Return the titles of metrics that have a value for the first system, but none for a clip."""
    model = first_model(results)
    shown = {group.info.key for group in groups}
    if model is None or not shown:
        return []
    own = [row for row in results.clips if row.system == model.name]
    return [
        info.title
        for info in results.metrics
        if info.key in model.metrics and not any(math.isfinite(row.values.get(info.key, math.nan)) for row in own)
    ]


def image_address(image: NDArray[np.uint8], *, quality: int = 88) -> str:
    """Return an RGB image (H, W, 3) as the data URL of a JPEG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def read_training_log(path: str | Path) -> dict[str, list[tuple[float, float]]]:
    """Read a run's ``metrics.csv``: pairs of step and value by column, at most 600 for each.

    A file that is missing or damaged gives no columns, because the page must not fail for lack of a training curve.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    columns: dict[str, list[tuple[float, float]]] = {}
    for index, line in enumerate(lines):
        step = _float(line.get("step")) if "step" in line else float(index)
        for name, text in line.items():
            value = _float(text) if isinstance(name, str) else math.nan
            if math.isfinite(value) and math.isfinite(step):
                columns.setdefault(name, []).append((step, value))
    return {name: pairs[:: max(len(pairs) // _MOST_POINTS, 1)] for name, pairs in columns.items()}


def _float(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _curve_chart(example: CurveExample) -> str:
    return line_chart(
        example.series,
        label=f"mouth opening of {example.clip_id}",
        seconds_per_step=1.0 / example.fps,
        shaded=example.silent,
    )


def _strip(strip: Strip) -> dict[str, Any]:
    rows = [(label, [image_address(image) for image in images]) for label, images in strip.rows]
    return {"title": strip.title, "times": strip.times, "rows": rows, "video": strip.video}


def _training(runs: Mapping[str, Path]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Draw the charts of each run: losses first, then what else was logged in training and validation."""
    found = []
    for title, path in runs.items():
        charts = training_series(read_training_log(path))
        order = sorted(charts, key=lambda name: (name != "loss", "loss" not in name, len(charts[name]) < 2))
        drawn = []
        for name in order[:_MOST_TRAINING_CHARTS]:
            lines = charts[name]
            positive = all(value > 0 for line in lines for value in line.values)
            spread = max(max(line.values) for line in lines) > 8 * min(min(line.values) for line in lines)
            chart = line_chart(lines, label=f"{title}: {name}", width=430, height=180, log_scale=positive and spread)
            if chart:
                drawn.append((name, chart))
        if drawn:
            found.append((title, drawn))
    return found


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten nested mappings to dotted keys and values, for a plain list."""
    lines: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append((f"{prefix}{key}", "" if value is None else str(value)))
    return lines
