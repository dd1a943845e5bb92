import logging

import pytest

from expnet.data.splits import assign_splits, split_by_time
from expnet.data.store.manifest import ManifestRow
from expnet.errors import ConfigError, DataError


def clips(speakers, frames=100, per_speaker=2, **columns):
    return [
        ManifestRow(f"{speaker}-{index}", speaker=speaker, frames=frames, **columns)
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
    rows = [*clips(["a", "b", "c", "d", "e"]), ManifestRow("x", speaker="a", frames=100, split="test")]
    splits = assign_splits(rows, seed=0)
    assert splits["x"] == splits["a-0"] == splits["a-1"] == "test"
    official = clips("ab", split="train") + clips("cd", split="test")
    assert assign_splits(official) == {row.clip_id: row.split for row in official}


def test_given_splits_that_share_a_speaker_must_be_allowed():
    rows = [
        ManifestRow("a1", speaker="a", frames=9, split="train"),
        ManifestRow("a2", speaker="a", frames=9, split="test"),
        ManifestRow("a3", speaker="a", frames=9),
    ]
    with pytest.raises(DataError, match="speakers in two splits"):
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


def parts_of(rows, **fractions):
    return split_by_time(rows, fractions.get("validation", 0.0), fractions.get("test", 0.0))


def test_one_long_clip_is_cut_by_time():
    (parts,) = parts_of([ManifestRow("talk", speaker="anna", frames=1000, first_frame=70)], validation=0.1, test=0.2)
    cut = [(split, row.clip_id, row.first_frame - 70, row.frames, row.source_start) for split, row in parts]
    assert cut == [
        ("train", "talk", 0, 700, 0.0),
        ("validation", "talk", 700, 100, 28.0),
        ("test", "talk", 800, 200, 32.0),
    ]


def test_short_clips_are_divided_in_order_of_time_and_borders_keep_off_their_ends():
    # Named against the order of time; 10 clips of 75 frames, a border at frame 675 - 2 of 750.
    rows = [
        ManifestRow(f"clip-{9 - i}", speaker="anna", frames=75, source="film.mp4", source_start=3.0 * i)
        for i in range(10)
    ]
    parts = parts_of(rows, validation=0.1027)
    assert [[(split, row.frames) for split, row in part] for part in parts] == [[("train", 75)]] * 9 + [
        [("validation", 75)]
    ]
    assert parts_of(rows[::-1], validation=0.1027) == parts[::-1]
    halves = parts_of(rows, validation=0.15)
    assert [(split, row.frames) for split, row in halves[8]] == [("train", 38), ("validation", 37)]


def test_every_speaker_is_cut_by_time_and_nothing_is_lost():
    rows = clips("abc", frames=100, per_speaker=4)
    parts = parts_of(rows, validation=0.25, test=0.25)
    assert [[split for split, _ in part] for part in parts] == [["train"], ["train"], ["validation"], ["test"]] * 3
    assert [sum(row.frames for _, row in part) for part in parts] == [100] * 12
    with pytest.raises(ConfigError, match="leave something to train on"):
        parts_of(rows, validation=0.5, test=0.5)


def test_a_corpus_of_a_mixture_may_not_silently_go_to_the_test_split():
    """MEAD beside HDTF: all actors have official test sentences, so none would be trained on."""
    mead = clips(["M003", "M005", "W011"], corpus="mead")
    mead += [
        ManifestRow(f"{name}-test", speaker=name, corpus="mead", frames=9, split="test")
        for name in ("M003", "M005", "W011")
    ]
    hdtf = clips([f"film{index}" for index in range(9)], corpus="hdtf")
    with pytest.raises(DataError, match=r"by the corpus mead have 3 speakers in two splits \(such as M003\)"):
        assign_splits([*mead, *hdtf])
    splits = assign_splits([*mead, *hdtf], allow_shared_speakers=True)
    assert {splits[row.clip_id] for row in mead if row.split} == {"test"}
    assert "train" in {splits[row.clip_id] for row in mead if not row.split}
