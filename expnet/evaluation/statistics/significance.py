"""Is a difference between two systems more than chance? Sign flips over people, and a correction for many questions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

EXACT_UNITS = 12
"""Up to so many people all 2^n flips are tried; beyond, `FLIPS` are drawn."""
FLIPS = 10_000


def sign_flip_p_value(
    differences: Sequence[float] | NDArray[np.float64],
    *,
    weights: Sequence[float] | NDArray[np.float64] | None = None,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> float:
    """Two-sided p value of a paired difference: the share of sign flips that give a mean as far from 0.

    If neither system is better, a person's difference could as well have had the other sign (Fisher's randomisation
    test). Whole people are flipped, because clips of one person are alike. With n people p is ``2^(1 - n)`` at least:
    five people or fewer can never be significant at .05.

    Args:
        differences: one system's score minus the other's, one a clip; NaN is left out.
        weights: one weight a clip, 1 by default.
        groups: the person of each clip; every clip by itself by default.
        seed: of the flips, where there are too many to try them all.

    Returns:
        p in (0, 1]; NaN where there is nothing to compare.
    """
    values = np.asarray(differences, dtype=np.float64)
    shares = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    kept = np.isfinite(values) & np.isfinite(shares) & (shares > 0)
    if not kept.any():
        return float("nan")
    labels = np.arange(len(values)).astype(str) if groups is None else np.asarray(groups, dtype=str)
    _, unit = np.unique(labels[kept], return_inverse=True)
    sums = np.bincount(unit, weights=(values * shares)[kept])  # (people,)
    if len(sums) <= EXACT_UNITS:
        signs = np.array(list(product((1.0, -1.0), repeat=len(sums))))  # (2^n, people); the first is what was seen
    else:
        drawn = np.random.default_rng(seed).choice((1.0, -1.0), size=(FLIPS, len(sums)))
        signs = np.concatenate([np.ones((1, len(sums))), drawn])
    totals = np.abs(signs @ sums)
    # What was seen is one of the flips, so that p is never 0; rounding must not make it miss itself.
    return float((totals >= totals[0] * (1 - 1e-9)).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values of several questions so that the chance of a single false alarm stays below the level.

    Holm (1979): the k-th smallest of n is multiplied by ``n - k + 1``, and none is smaller than one before it.

    Args:
        p_values: NaN is no question, and stays NaN.

    Returns:
        The adjusted p values, in the order given.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = [int(index) for index in np.argsort(values) if np.isfinite(values[index])]
    adjusted = np.full(len(values), np.nan)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, float(values[index]) * (len(order) - rank)))
        adjusted[index] = largest
    return [float(value) for value in adjusted]
