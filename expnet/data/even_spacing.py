"""Picking evenly spaced items: clips of a split, frames of a clip."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


def evenly_spaced_indices(length: int, count: int | None) -> NDArray[np.int64]:
    """Return ``count`` distinct indices into ``length`` items, the first and the last among them, evenly spaced.

    Index k is ``k (length - 1) / (count - 1)``, rounded to the nearest integer, halves to even.

    Args:
        length: Number of items.
        count: Number of indices; None, or a number above ``length``, for all of them.

    Returns:
        (min(count, length),) ascending indices.
    """
    if count is None or length <= count:
        return np.arange(length)
    return np.linspace(0, length - 1, count).round().astype(np.int64)


def evenly_spaced(items: Sequence[Item], count: int | None) -> list[Item]:
    """Return at most ``count`` of the items, evenly spaced; all of them if None. See `evenly_spaced_indices`."""
    return [items[index] for index in evenly_spaced_indices(len(items), count)]
