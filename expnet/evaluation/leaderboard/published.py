"""Numbers that others published, read from a csv file; they are shown, marked, and never compared clip by clip."""

import csv
import math
import os
from dataclasses import dataclass
from pathlib import Path

from expnet.config.benchmark import GROUND_TRUTH, METRIC_KEYS
from expnet.errors import DataError

COLUMNS = ("system", "metric", "value", "source")


@dataclass(frozen=True)
class PublishedScore:
    """One number that somebody published.

    Attributes:
        system: The name of the system, as published.
        metric: The key of the metric.
        value: The number.
        source: Where it was published.
        note: What a reader must know, such as another test set.
    """

    system: str
    metric: str
    value: float
    source: str
    note: str = ""


def read_published(path: str | os.PathLike[str]) -> list[PublishedScore]:
    """Read a csv file with the columns system, metric, value, source and, if you like, note.

    Raises:
        DataError: The file cannot be read, or a line of it cannot be used; the message names the line.
    """
    path = Path(path).expanduser()
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = reader.fieldnames or ()
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a csv file ({error}); expected columns {_columns()}") from error
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise DataError(f"{path} lacks the column {missing[0]}; expected columns {_columns()}")
    if not lines:
        raise DataError(f"{path} holds no numbers below its header; expected columns {_columns()}")
    scores = [_score(line, f"{path}, line {number}") for number, line in enumerate(lines, start=2)]
    seen: set[tuple[str, str]] = set()
    for number, score in enumerate(scores, start=2):
        if (score.system, score.metric) in seen:
            raise DataError(f"{path}, line {number}: {score.system} has two values of {score.metric}; leave one")
        seen.add((score.system, score.metric))
    return scores


def _score(line: dict[str, str | None], where: str) -> PublishedScore:
    """Read one line."""
    cells = {name: (line.get(name) or "").strip() for name in (*COLUMNS, "note")}
    if None in line or not all(cells[name] for name in COLUMNS):
        raise DataError(f"{where}: expected a value in each of the columns {_columns()}, and no more cells")
    if cells["metric"] not in METRIC_KEYS:
        raise DataError(f"{where}: there is no metric {cells['metric']}; expected one of {', '.join(METRIC_KEYS)}")
    if cells["system"] == GROUND_TRUTH:
        raise DataError(f"{where}: {GROUND_TRUTH} stands for the real clips, which are always scored again")
    try:
        value = float(cells["value"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {cells['value']} is no number; leave out what was not published")
    return PublishedScore(cells["system"], cells["metric"], value, cells["source"], cells["note"])


def _columns() -> str:
    return ", ".join(COLUMNS)
