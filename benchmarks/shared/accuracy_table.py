"""Accuracy tables: means with intervals over speakers, paired differences, and the correlation by language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from expnet.evaluation.scores import Scores
from expnet.io.markdown import markdown_table
from expnet.metrics.functional.statistics import (
    Interval,
    bootstrap_difference,
    bootstrap_interval,
    bootstrap_peak,
)
from shared.motion_scoring import COLUMNS, Column

LAG = "mouth_opening_lag"
CORRELATION = "mouth_opening_correlation"
LIPS = 9
"""Number of columns in the first of the two tables."""
REFERENCES = ("ours", "ours_features")
"""Rows that all others are compared with, where they exist."""


@dataclass(eq=False)
class Row:
    """Scores of one system.

    Attributes:
        clips: Names of the scored clips.
        speakers: Speaker of each clip.
        scores: Scores of each clip, for each training seed.
        languages: Language of each clip; empty if none is known.
    """

    clips: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)
    scores: list[list[Scores]] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)

    def part(self, languages: set[str]) -> Row:
        """The clips in some languages."""
        kept = [place for place, language in enumerate(self.languages) if language in languages]
        parts = ([values[place] for place in kept] for values in (self.clips, self.speakers, self.scores))
        return Row(*parts, [self.languages[place] for place in kept])

    def values(self, key: str) -> NDArray[np.float64]:
        """Values of a column, (clips, seeds)."""
        return np.array([[one.values[key] for one in seeds] for seeds in self.scores], dtype=np.float64)

    def weights(self, key: str) -> NDArray[np.float64]:
        """Weight of each clip in a column; it depends on the real clip only and is the same for every seed."""
        return np.array([seeds[0].weights.get(key, 1.0) for seeds in self.scores])

    def curves(self) -> NDArray[np.float64]:
        """Correlation of each clip by lag, averaged over the seeds: (clips, lags)."""
        return np.array([_mean_over_seeds(np.array([one.curves[LAG] for one in seeds]).T) for seeds in self.scores])

    def interval(self, key: str) -> Interval:
        """Mean over the clips of the mean over the seeds, with its interval over speakers."""
        if key == LAG:
            return bootstrap_peak(self.curves(), groups=self.speakers)
        return bootstrap_interval(_mean_over_seeds(self.values(key)), weights=self.weights(key), groups=self.speakers)

    def spread(self, key: str) -> float:
        """Standard deviation of the column over training seeds; NaN for a single seed."""
        values = self.values(key)
        if values.shape[1] < 2 or key == LAG:
            return float("nan")
        means = [bootstrap_interval(column, weights=self.weights(key), resamples=1).mean for column in values.T]
        return float(np.std(means, ddof=1))

    def difference(self, other: Row, key: str) -> Interval:
        """Paired difference to another system on the same clips."""
        if self.clips != other.clips:
            raise ValueError("two systems can only be compared on the same clips")
        first, second = (_mean_over_seeds(row.values(key)) for row in (self, other))
        return bootstrap_difference(first, second, weights=self.weights(key), groups=self.speakers)


def tables(rows: dict[str, Row], pairs: Sequence[tuple[str, str]] = ()) -> str:
    """Format all tables as Markdown.

    Args:
        rows: Scores by name of the system.
        pairs: Names of the rows (first less second) whose differences have a table of their own.
    """
    people = {speaker for row in rows.values() for speaker in row.speakers}
    clips = max(len(row.clips) for row in rows.values())
    parts = [f"{clips} clips of {len(people)} people; 95 % intervals over people; ± standard deviation over trainings."]
    halves = (COLUMNS[:LIPS], COLUMNS[LIPS:])
    parts += [
        _table(columns, {name: [_cell(row, c) for c in columns] for name, row in rows.items()}) for columns in halves
    ]
    parts += _language_table(rows)
    for reference in [name for name in REFERENCES if name in rows]:
        parts.append(f"Paired difference to {reference}; bold where the interval leaves out 0:")
        others = [name for name in rows if name not in (reference, "real")]
        parts += _difference_tables(rows, {name: (name, reference) for name in others})
    if pairs:
        parts.append("What features bring, and what a network brings beside ridge regression on the same input:")
        parts += _difference_tables(rows, {f"{one} less {other}": (one, other) for one, other in pairs})
    return "\n\n".join(parts) + "\n"


def _difference_tables(rows: dict[str, Row], compared: dict[str, tuple[str, str]]) -> list[str]:
    """The two tables of differences (first less second), by title."""
    halves = ([c for c in half if c.key != LAG] for half in (COLUMNS[:LIPS], COLUMNS[LIPS:]))
    return [
        _table(
            half,
            {
                title: [_difference_cell(rows[one].difference(rows[other], c.key), c) for c in half]
                for title, (one, other) in compared.items()
            },
        )
        for half in halves
    ]


def language_groups(languages: Sequence[str]) -> dict[str, set[str]]:
    """Return the groups of languages that a table tells apart: each one, the most frequent first, and all but that.

    With one language, or none known, there is nothing to tell apart.
    """
    counts = Counter(language or "unknown" for language in languages)
    if len(counts) < 2:
        return {}
    ordered = [language for language, _ in counts.most_common()]
    groups = {language: {"" if language == "unknown" else language} for language in ordered}
    if len(ordered) > 2:
        groups[f"all but {ordered[0]}"] = set.union(*(groups[language] for language in ordered[1:]))
    return groups


def _language_table(rows: dict[str, Row]) -> list[str]:
    """The correlation by language, under its title; nothing if all clips are of one."""
    real = next(iter(rows.values()))
    groups = language_groups(real.languages)
    if not groups:
        return []
    column = next(column for column in COLUMNS if column.key == CORRELATION)
    sizes = {title: real.part(group) for title, group in groups.items()}
    head = [f"{title} ({len(part.clips)} clips, {len(set(part.speakers))} people)" for title, part in sizes.items()]
    cells = [[name, *(_cell(row.part(group), column) for group in groups.values())] for name, row in rows.items()]
    return ["Mouth-opening correlation by language:", markdown_table(["system", *head], cells, align="lr")]


def as_json(rows: dict[str, Row], pairs: Sequence[tuple[str, str]] = ()) -> dict[str, object]:
    """Everything in the tables and the scores of every clip, as plain values."""
    return {name: _row_as_json(name, rows, pairs) for name in rows}


def _row_as_json(name: str, rows: dict[str, Row], pairs: Sequence[tuple[str, str]]) -> dict[str, object]:
    row = rows[name]

    def differences(other: str) -> dict[str, object]:
        return {c.key: _plain(row.difference(rows[other], c.key)) for c in COLUMNS if other in rows and c.key != LAG}

    others = [other for other in REFERENCES if other in rows and other != name]
    others += [other for one, other in pairs if one == name and other not in others]
    groups = language_groups(row.languages)
    return {
        "metrics": {column.key: _plain(row.interval(column.key), row.spread(column.key)) for column in COLUMNS},
        "difference": differences(REFERENCES[0]),
        "differences": {other: differences(other) for other in others},
        "correlation_by_language": {
            title: _plain(part.interval(CORRELATION), part.spread(CORRELATION))
            for title, group in groups.items()
            for part in [row.part(group)]
        },
        "clips": [
            {
                "clip": clip,
                "speaker": speaker,
                "seeds": [one.values for one in seeds],
                "weights": seeds[0].weights,
            }
            for clip, speaker, seeds in zip(row.clips, row.speakers, row.scores, strict=True)
        ],
    }


def _mean_over_seeds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the finite values of the last axis; NaN where there are none."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(-1)
    return np.divide(total, known.sum(-1), out=np.full(total.shape, np.nan), where=known.any(-1))


def _plain(interval: Interval, spread: float = float("nan")) -> dict[str, float | int | None]:
    found = {"mean": interval.mean, "low": interval.low, "high": interval.high, "spread": spread}
    numbers = {name: None if value is None or not np.isfinite(value) else value for name, value in found.items()}
    return {**numbers, "clips": interval.count, "people": interval.units}


def _table(columns: Sequence[Column], cells: dict[str, list[str]]) -> str:
    arrows = {"more": " ↑", "less": " ↓", "real": ""}
    head = ["system", *(column.title + arrows[column.better] for column in columns)]
    return markdown_table(head, ([name, *row] for name, row in cells.items()), align="lr")


def _cell(row: Row, column: Column) -> str:
    interval, digits = row.interval(column.key), column.digits
    if not np.isfinite(interval.mean):
        return "-"
    text = f"{interval.mean:.{digits}f}"
    if interval.low is not None and interval.high is not None:
        text += f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    spread = row.spread(column.key)
    return f"{text} ±{spread:.{digits}f}" if np.isfinite(spread) else text


def _difference_cell(interval: Interval, column: Column) -> str:
    if not np.isfinite(interval.mean):
        return "-"
    value = f"{interval.mean:+.{column.digits}f}"
    if interval.low is None or interval.high is None:
        return value
    clear = interval.low > 0 or interval.high < 0
    return (
        f"{f'**{value}**' if clear else value} [{interval.low:+.{column.digits}f}, {interval.high:+.{column.digits}f}]"
    )
