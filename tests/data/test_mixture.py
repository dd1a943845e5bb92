"""Shares of stores in training, and clips of each corpus in validation."""

import numpy as np
import pytest

from expnet.data.clip_entry import ClipEntry
from expnet.data.mixture import flatten_shares, limit_per_corpus
from expnet.data.store.manifest import ManifestRow


def test_shares_are_flattened() -> None:
    # Hours of HDTF, MEAD and LRS3; the first store has two clips.
    expected, stores = np.array([4.0, 12.0, 40.0, 400.0]), np.array([0, 0, 1, 2])
    flat = flatten_shares(expected, stores, 2.0)
    roots = np.sqrt([16.0, 40.0, 400.0])
    assert flat.sum() == pytest.approx(456)
    assert np.bincount(stores, weights=flat) / 456 == pytest.approx(roots / roots.sum())
    assert flat[1] / flat[0] == pytest.approx(3)
    assert np.array_equal(flatten_shares(expected, stores, 1.0), expected)
    equal = np.bincount(stores, weights=flatten_shares(expected, stores, 1e9))
    assert equal == pytest.approx([152] * 3)


def test_a_store_of_weight_zero_stays_out() -> None:
    flat = flatten_shares(np.array([0.0, 3.0, 27.0]), np.array([0, 1, 2]), 2.0)
    assert flat == pytest.approx([0, 30 * 3**0.5 / (3**0.5 + 27**0.5), 30 * 27**0.5 / (3**0.5 + 27**0.5)])


def test_each_corpus_has_its_share_of_the_validation() -> None:
    names = ["small"] * 3 + ["large"] * 100
    rows = [ManifestRow(clip_id=f"{corpus}{n}", corpus=corpus) for n, corpus in enumerate(names)]
    entries = [ClipEntry(None, row) for row in rows]  # type: ignore[arg-type]
    kept = [entry.row.clip_id for entry in limit_per_corpus(entries, 4)]
    assert kept == ["small0", "small1", "small2", "large3", "large36", "large69", "large102"]
    assert limit_per_corpus(entries, None) == entries
