"""A variant of the expression network with its trainings, and how the trainings become one row of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expnet.evaluation.report.results import ClipRow
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.saved_model import load_model

Curves = Mapping[tuple[str, str], NDArray[np.float64]]
"""Correlation by lag of a system (first) on a clip (second)."""


@dataclass(frozen=True)
class Variant:
    """One variant and its trainings.

    Attributes:
        name: of the variant, from its file.
        changes: what it does otherwise, by key: its value and the reference's; empty for the reference.
        runs: run folders, one a seed.
    """

    name: str
    changes: Mapping[str, tuple[Any, Any]]
    runs: tuple[Path, ...]
    kind = "model"

    @property
    def title(self) -> str:
        """Heading of its row."""
        return self.name.replace("_", " ").capitalize()

    @property
    def description(self) -> str:
        """What it does otherwise, in words."""
        changed = ", ".join(f"{key} {here} instead of {there}" for key, (here, there) in self.changes.items())
        return f"{changed or 'What the others are compared with'}; trainings: {len(self.runs)}."

    @property
    def trainings(self) -> tuple[str, ...]:
        """Names of its trainings as rows of their own, by seed."""
        return tuple(f"{self.name}/seed-{seed}" for seed in range(len(self.runs)))

    def networks(self) -> list[ExpressionRegressor]:
        """Its trained networks, by seed."""
        found = [load_model(run, "expression") for run in self.runs]
        assert all(isinstance(network, ExpressionRegressor) for network in found)
        return found  # type: ignore[return-value]


def mean_over_seeds(variants: Sequence[Variant], rows: Sequence[ClipRow]) -> list[ClipRow]:
    """Give each variant one row a clip: the mean of its trainings' scores.

    A score that is undefined for one training is the mean of the others; a clip that one training failed on is failed.

    Args:
        variants: whose trainings are in ``rows``.
        rows: of systems that are named as `Variant.trainings` says; others are left out.
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
    """Do the same for correlations by lag: add the mean of a variant's trainings to those that are there."""
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
