import logging

import pytest

from expnet.data.manifest import ClipRow
from expnet.data.splits import assign_splits
from expnet.errors import ConfigError, DataError


def clips(speakers, frames=100, per_speaker=2, **columns):
    return [
        ClipRow(f"{speaker}-{index}", speaker=speaker, frames=frames, **columns)
        for speaker in speakers
        for index in range(per_speaker)
    ]


def test_no_speaker_is_on_two_sides_and_shares_are_as_asked():
    rows = clips([f"s{index}" for index in range(100)])
    splits = assign_splits(rows, validation_fraction=0.1, test_fraction=0.2, seed=3)
    sides = {}
    for row in rows:
        assert sides.setdefault(row.speaker, splits[row.clip_id]) == splits[row.clip_id]
    counts = {name: list(sides.values()).count(name) for name in ("train", "validation", "test")}
    assert counts == {"train": 70, "validation": 10, "test": 20}


def test_division_depends_on_the_seed_and_not_on_the_order():
    rows = clips([f"s{index}" for index in range(30)])
    assert assign_splits(rows, seed=1) == assign_splits(rows[::-1], seed=1)
    assert assign_splits(rows, seed=1) != assign_splits(rows, seed=2)


def test_given_splits_stay_and_take_the_speaker_along():
    rows = [*clips(["a", "b", "c", "d", "e"]), ClipRow("x", speaker="a", frames=100, split="test")]
    splits = assign_splits(rows, seed=0)
    assert splits["x"] == splits["a-0"] == splits["a-1"] == "test"
    official = clips("ab", split="train") + clips("cd", split="test")
    assert assign_splits(official) == {row.clip_id: row.split for row in official}


def test_given_splits_that_share_a_speaker_must_be_allowed():
    rows = [
        ClipRow("a1", speaker="a", frames=9, split="train"),
        ClipRow("a2", speaker="a", frames=9, split="test"),
        ClipRow("a3", speaker="a", frames=9),
    ]
    with pytest.raises(DataError, match="speakers on two sides"):
        assign_splits(rows)
    assert assign_splits(rows, allow_shared_speakers=True) == {"a1": "train", "a2": "test", "a3": "train"}


def test_one_who_has_half_the_corpus_trains():
    for seed in range(20):
        rows = [*clips(["big"], per_speaker=100), *clips([f"s{index}" for index in range(50)])]
        assert assign_splits(rows, seed=seed)["big-0"] == "train"


@pytest.mark.parametrize(("speakers", "expected"), [(1, 0), (2, 1), (3, 2), (4, 2)])
def test_few_speakers_still_leave_one_to_train_on(speakers, expected, caplog):
    rows = clips([f"s{index}" for index in range(speakers)])
    with caplog.at_level(logging.WARNING):
        splits = set(assign_splits(rows).values())
    assert "train" in splits
    assert len(splits) - 1 == expected
    assert bool(caplog.records) == (expected < 2)


def test_fractions_must_leave_something():
    with pytest.raises(ConfigError, match="leave something to train on"):
        assign_splits(clips("ab"), validation_fraction=0.5, test_fraction=0.5)
