"""Significance of paired differences: a sign-flip test over people, and Holm's correction for several tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

EXACT_UNITS = 12
"""With up to this many people all 2^n sign flips are tried; with more, `FLIPS` of them are drawn."""
FLIPS = 10_000


def sign_flip_p_value(
    differences: Sequence[float] | NDArray[np.float64],
    *,
    weights: Sequence[float] | NDArray[np.float64] | None = None,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> float:
    """Return the two-sided p value of a paired difference: the fraction of sign flips with a mean as far from 0.

    If neither system is better, the difference of a person could as well have had the other sign (Fisher's
    randomisation test). All clips of a person are flipped together, because they are alike. With n people p is at
    least ``2^(1 - n)``, so five people or fewer can never be significant at .05.

    Args:
        differences: The score of one system minus that of the other, for each clip; NaN is left out.
        weights: The weight of each clip, 1 by default.
        groups: The person of each clip; by default every clip is independent.
        seed: The seed of the flips, where there are too many to try them all.

    Returns:
        The p value in (0, 1]; NaN if there is nothing to compare.
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
        signs = np.array(list(product((1.0, -1.0), repeat=len(sums))))  # (2^n, people); the first is the observation
    else:
        drawn = np.random.default_rng(seed).choice((1.0, -1.0), size=(FLIPS, len(sums)))
        signs = np.concatenate([np.ones((1, len(sums))), drawn])
    totals = np.abs(signs @ sums)
    # The observation is one of the flips, so p is never 0; the tolerance keeps rounding from excluding it.
    return float((totals >= totals[0] * (1 - 1e-9)).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of several tests, so that the chance of a single false positive stays below the level.

    Holm (1979): the k-th smallest of n values is multiplied by ``n - k + 1``, and none is smaller than the one before.

    Args:
        p_values: The p values; NaN does not count as a test and stays NaN.

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
