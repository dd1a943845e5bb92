"""``benchmarks/identity.py``: its pairs, and who is in them."""

import numpy as np
import pytest

from identity import EmbeddedClip, distances, table


def clip(person: str, *places: float) -> EmbeddedClip:
    embeddings = np.zeros((2, 128))
    embeddings[:, 0] = places
    return EmbeddedClip(person, embeddings)


def test_pairs_are_told_apart() -> None:
    found = distances([clip("a", 0.0, 0.1), clip("a", 0.3, 0.5), clip("b", 1.0, 1.0)])
    assert found["the same clip"].tolist() == pytest.approx([0.1, 0.2, 0.0])
    assert found["another clip of the same person"].tolist() == pytest.approx([0.3])
    assert found["another person"].tolist() == pytest.approx([1.0, 0.7])
    lines = table(found).splitlines()
    assert lines[-1].split("|")[1:-1] == [" another person ", " 2 ", " 0.70 ", " 0.85 ", " 1.00 ", " 0.000 "]
    assert "1.000" in lines[-2]


def test_one_clip_has_no_other() -> None:
    assert len(table(distances([clip("a", 0.0, 0.1)])).splitlines()) == 3
