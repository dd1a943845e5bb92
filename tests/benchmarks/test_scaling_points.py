"""A scaling study: its points survive an interruption, and a power law has the exponent that it was made with."""

from pathlib import Path

import pytest

from shared.scaling_points import Point, exponent, read_points, report, write_points


def made(size: str, share: float, parameters: int) -> Point:
    """A point on error = 3 minutes ** -0.2 parameters ** -0.1."""
    minutes = 60 * share
    error = 3 * minutes**-0.2 * parameters**-0.1
    return Point(
        size=size, share=share, seed=0, parameters=parameters, minutes=minutes, speakers=9, error=error, mouth=0.5
    )


POINTS = [
    made(size, share, count) for size, count in (("24x1", 10_000), ("96x2", 300_000)) for share in (0.1, 0.3, 1.0)
]


def test_points_are_read_as_written(tmp_path: Path) -> None:
    assert read_points(tmp_path) == []
    write_points(tmp_path / "study", POINTS)
    assert read_points(tmp_path / "study") == POINTS


def test_the_exponents_of_a_power_law() -> None:
    assert exponent([(1, 2), (10, 2 * 10**-0.3), (100, 2 * 100**-0.3)]) == pytest.approx(-0.3)
    assert exponent([(5, 1.0), (5, 2.0)]) is None
    text = report(POINTS)
    assert text.count("| -0.200 |") == 2
    assert text.count("| -0.100 |") == 3
    assert "| 24x1 | 10,000 |" in text
    assert "60.0 min, 9 people" in text


def test_a_missing_point_is_an_empty_cell() -> None:
    assert "|  |" in report(POINTS[:-1]).replace("| |", "|  |")
