"""Points of a scaling study: kept in a CSV file, fitted, and shown as tables."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expnet.io.atomic import atomic_path
from expnet.io.markdown import markdown_table

NAME = "points.csv"


@dataclass(frozen=True)
class Point:
    """One training of a scaling study.

    Attributes:
        size: WIDTHxLAYERS of the network.
        share: Share of the training clips that it was trained on.
        seed: Seed of the training.
        parameters: Number of its parameters.
        minutes: Minutes of its training clips.
        speakers: Number of speakers in them.
        error: 1 - within-clip R2 on people left out.
        mouth: Correlation of the mouth opening on people left out.
    """

    size: str
    share: float
    seed: int
    parameters: int
    minutes: float
    speakers: int
    error: float
    mouth: float


def read_points(folder: Path) -> list[Point]:
    """Read the points of a study; none if there is no file yet."""
    path = folder / NAME
    if not path.is_file():
        return []
    kinds = {"int": int, "float": float, "str": str}
    fields = {field.name: kinds[str(field.type)] for field in dataclasses.fields(Point)}
    with open(path, newline="", encoding="utf-8") as file:
        return [Point(**{name: fields[name](text) for name, text in row.items()}) for row in csv.DictReader(file)]


def write_points(folder: Path, points: Sequence[Point]) -> None:
    """Write the points of a study, all at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / NAME) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Point)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(point) for point in points)


def report(points: Sequence[Point]) -> str:
    """Return the tables of a study: errors of each size by minutes, and exponents."""
    sizes = sorted({point.size for point in points}, key=lambda size: _parameters(points, size))
    shares = sorted({point.share for point in points})
    minutes = {share: np.mean([point.minutes for point in points if point.share == share]) for share in shares}
    speakers = {share: max(point.speakers for point in points if point.share == share) for share in shares}
    amounts = [f"{minutes[share]:.1f} min, {speakers[share]} people" for share in shares]
    cells = {(size, share): _cell(points, size, share) for size in sizes for share in shares}
    errors = markdown_table(
        ["network", "parameters", *amounts],
        [[size, f"{_parameters(points, size):,}", *(cells[size, share] for share in shares)] for size in sizes],
    )
    by_minutes = [
        [size, _text_of(exponent([(point.minutes, point.error) for point in points if point.size == size]))]
        for size in sizes
    ]
    by_parameters = [
        [amount, _text_of(exponent([(point.parameters, point.error) for point in points if point.share == share]))]
        for amount, share in zip(amounts, shares, strict=True)
    ]
    return "\n\n".join(
        [
            "Error (1 - within-clip R2; correlation of the mouth opening) on people left out:",
            errors,
            markdown_table(["network", "exponent of the minutes"], by_minutes),
            markdown_table(["data", "exponent of the parameters"], by_parameters),
        ]
    )


def exponent(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return b of error = a * amount ** b, by least squares in logarithms; None for fewer than two amounts.

    Args:
        pairs: Amount, such as minutes, and error of each training, both above 0.
    """
    amounts, errors = np.log(np.array(pairs)).T
    if len(set(amounts)) < 2:
        return None
    return float(np.polynomial.Polynomial.fit(amounts, errors, 1).convert().coef[1])


def _parameters(points: Sequence[Point], size: str) -> int:
    return next(point.parameters for point in points if point.size == size)


def _cell(points: Sequence[Point], size: str, share: float) -> str:
    found = [point for point in points if (point.size, point.share) == (size, share)]
    if not found:
        return ""
    return f"{np.mean([point.error for point in found]):.3f}; {np.mean([point.mouth for point in found]):.3f}"


def _text_of(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"
