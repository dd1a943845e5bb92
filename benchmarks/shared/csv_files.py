"""Reads CSV files: those that a training run writes, and tables about clips."""

import csv
from pathlib import Path


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
