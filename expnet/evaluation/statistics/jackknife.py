"""Intervals of distances between whole sets, by leaving out one group of people after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

MOST_GROUPS = 20
"""Groups of people of which one after the other is left out for the interval."""
_DEVIATIONS = 1.96
"""Standard deviations on either side of a 95 % interval."""


def jackknife(
    measure: Callable[[int | None], float], groups: Sequence[int], most: float = math.inf
) -> tuple[float, tuple[float, float] | None]:
    """Return a value with its 95 % interval by leaving out one group of people after the other.

    A bootstrap would repeat windows, and repeated windows raise every one of these distances. Source: Efron and Stein,
    "The jackknife estimate of variance", Annals of Statistics 9, 1981.

    Args:
        measure: The value without a group; None leaves out none.
        groups: The groups.
        most: The largest possible value; the smallest is 0.

    Returns:
        The value, and the ends of its interval, None with fewer than two groups.
    """
    mean = measure(None)
    if len(groups) < 2:
        return mean, None
    left = np.array([measure(group) for group in groups])
    deviation = math.sqrt((len(groups) - 1) / len(groups) * float(((left - left.mean()) ** 2).sum()))
    if not math.isfinite(deviation):
        return mean, None
    return mean, (max(mean - _DEVIATIONS * deviation, 0.0), min(mean + _DEVIATIONS * deviation, most))


def people_groups(people: Sequence[str]) -> list[int]:
    """Number the groups of people that are left out together, at most `MOST_GROUPS`; clips if there is one person."""
    names = people if len(set(people)) > 1 else [str(place) for place in range(len(people))]
    order = {name: place % MOST_GROUPS for place, name in enumerate(sorted(set(names)))}
    return [order[name] for name in names]
