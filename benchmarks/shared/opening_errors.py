"""Errors of the mouth's opening at small and at large openings, and lips that touch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.io.markdown import markdown_table
from expnet.metrics.functional.mouth import mouth_opening
from shared.inner_mouth import BINS, FEWEST

CLOSED = (0.0, 0.02)
"""Openings over the distance of the outer eye corners below those of `BINS`."""
TOUCHING, SEEN_TOUCHING = 0.012, 0.02
"""Opening of a real mouth below which its lips touch, and of a rendered one below which they are seen to."""
_UNIT = 1000.0


def opening_errors(found: NDArray[np.floating], given: NDArray[np.floating]) -> dict[str, list | float | None]:
    """Compare the openings of two sequences of landmarks (T, 68, 2).

    Returns:
        ``bins``: for each bin of the given opening its bias and mean absolute error, or None where fewer than
        `FEWEST` frames fall in it. ``contact``: share of the given frames with touching lips in which the found lips
        touch, or None.
    """
    got, true = (mouth_opening(torch.from_numpy(np.asarray(points))).numpy() for points in (found, given))
    bins: list[list[float] | None] = []
    for low, high in (CLOSED, *BINS):
        inside = (true >= low) & (true < high)
        error = got[inside] - true[inside]
        bins.append([float(error.mean()), float(np.abs(error).mean())] if inside.sum() >= FEWEST else None)
    touching = true < TOUCHING
    contact = float((got[touching] < SEEN_TOUCHING).mean()) if touching.sum() >= FEWEST else None
    return {"bins": bins, "contact": contact}


def opening_table(rows: Sequence[dict], systems: Sequence[str]) -> str:
    """Markdown table of the errors in thousandths of the eye distance, means over people."""
    header = ["opening", "people"]
    for system in systems:
        header += [f"{system}: bias", "mean absolute error"]
    table = []
    for index, (low, high) in enumerate((CLOSED, *BINS)):
        people = _by_person(rows, lambda row, name, index=index: row["openings"][name]["bins"][index], systems)
        cells = [f"{value:.1f}" for value in (_UNIT * np.mean(people, axis=0)).ravel()] if people else []
        table.append([f"{low:.2f}-{high:.2f}", str(len(people)), *(cells or [""] * (2 * len(systems)))])
    touching = _by_person(rows, lambda row, name: row["openings"][name]["contact"], systems)
    shares = [f"{system} {share:.2f}" for system, share in zip(systems, np.mean(touching, axis=0), strict=True)]
    note = f"Lips that touch and are seen to: {', '.join(shares)} ({len(touching)} people)." if touching else ""
    return f"{markdown_table(header, table)}\n\n{note}"


def _by_person(
    rows: Sequence[dict], value: Callable[[dict, str], Any], systems: Sequence[str]
) -> list[NDArray[np.float64]]:
    """One array for each person with a value, the mean over their clips; its first axis is the system."""
    people: dict[str, list] = {}
    for row in rows:
        values = [value(row, name) for name in systems]
        if all(one is not None for one in values):
            people.setdefault(row["speaker"], []).append(values)
    return [np.mean(clips, axis=0) for clips in people.values()]
