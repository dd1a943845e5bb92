"""A variant of the expression network with its trainings, and how these become one row of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expnet.evaluation.report.results import ScoredClip
from expnet.models.interfaces import ExpressionNetwork, load_expression_network

Curves = Mapping[tuple[str, str], NDArray[np.float64]]
"""Correlation by lag of a system (first) on a clip (second)."""


@dataclass(frozen=True)
class Variant:
    """One variant and its trainings.

    Attributes:
        name: The name of the variant, from its configuration file.
        changes: What it changes, by configuration key: its value and the reference's; empty for the reference.
        runs: The run folders, one for each seed.
    """

    name: str
    changes: Mapping[str, tuple[Any, Any]]
    runs: tuple[Path, ...]
    kind = "model"

    @property
    def title(self) -> str:
        """The heading of its row."""
        return self.name.replace("_", " ").capitalize()

    @property
    def description(self) -> str:
        """What it changes, in words."""
        changed = ", ".join(f"{key} {here} instead of {there}" for key, (here, there) in self.changes.items())
        return f"{changed or 'What the others are compared with'}; trainings: {len(self.runs)}."

    @property
    def trainings(self) -> tuple[str, ...]:
        """The names of its trainings as systems of their own, by seed."""
        return tuple(f"{self.name}/seed-{seed}" for seed in range(len(self.runs)))

    def networks(self) -> list[ExpressionNetwork]:
        """Load its trained networks, one for each seed."""
        return [load_expression_network(run) for run in self.runs]


def mean_over_seeds(variants: Sequence[Variant], rows: Sequence[ScoredClip]) -> list[ScoredClip]:
    """Give each variant one row for each clip: the mean of the scores of its trainings.

    A score that is undefined for some trainings is the mean over the others. A clip on which one training failed counts
    as failed.

    Args:
        variants: The variants whose trainings are in ``rows``.
        rows: Rows of systems with the names in `Variant.trainings`; other systems are left out.
    """
    table = {(row.system, row.clip_id): row for row in rows}
    clips = list(dict.fromkeys(row.clip_id for row in rows))
    found = []
    for variant in variants:
        for clip in clips:
            own = [table[name, clip] for name in variant.trainings]
            failed = next((row for row in own if row.status != "ok"), None)
            if failed is not None:
                found.append(replace(failed, system=variant.name, reason=f"{failed.system}: {failed.reason}"))
                continue
            values = {key: _mean([row.values[key] for row in own]) for key in own[0].values}
            undefined = [key for key, value in values.items() if math.isnan(value)]
            reason = f"undefined: {', '.join(undefined)}" if undefined else ""
            found.append(replace(own[0], system=variant.name, reason=reason, values=values))
    return found


def mean_curves(variants: Sequence[Variant], curves: Curves) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Add the mean curve of each variant's trainings to the correlations by lag."""
    found = dict(curves)
    for variant in variants:
        for clip in {clip for system, clip in curves if system in variant.trainings}:
            own = [curves[name, clip] for name in variant.trainings if (name, clip) in curves]
            defined = [curve for curve in own if np.isfinite(curve).any()]
            found[variant.name, clip] = np.mean(defined, axis=0) if defined else own[0]
    return found


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
