"""Mixtures of corpora: how often each is drawn in training, and how many of its clips are validated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from expnet.data.clip_entry import ClipEntry
from expnet.data.even_spacing import evenly_spaced


def flatten_shares(expected: NDArray[np.float64], stores: NDArray[np.int64], temperature: float) -> NDArray[np.float64]:
    """Change the shares of stores to ``share ** (1 / temperature)``, normalised, and keep the number of windows.

    This is how multilingual models draw from languages of unequal size (Arivazhagan et al., arXiv 1907.05019). Clips
    of one store keep their proportions.

    Args:
        expected: (clips,) expected number of windows of each clip per epoch.
        stores: (clips,) number of the store of each clip.
        temperature: 1 changes nothing; infinity would draw all stores equally often.
    """
    if temperature == 1:
        return expected
    totals = np.bincount(stores, weights=expected)
    shares = totals / totals.sum()
    flat = np.where(shares > 0, shares ** (1 / temperature), 0.0)
    factors = np.divide(flat / flat.sum(), shares, out=np.zeros_like(shares), where=shares > 0)
    return expected * factors[stores]


def limit_per_corpus(entries: Sequence[ClipEntry], count: int | None) -> list[ClipEntry]:
    """Return at most ``count`` clips of each corpus, evenly spaced, in their order; all of them if None."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, entry in enumerate(entries):
        places[entry.row.corpus].append(place)
    kept = sorted(place for of_corpus in places.values() for place in evenly_spaced(of_corpus, count))
    return [entries[place] for place in kept]
