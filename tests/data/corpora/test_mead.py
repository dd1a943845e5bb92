import dataclasses
import json
from pathlib import Path

import pytest

from expnet.config import DataConfig
from expnet.config.evaluate import EvaluateDataConfig
from expnet.data.corpora import open_corpus, read_corpus
from expnet.data.corpora.mead import Utterance, official_test
from expnet.data.splits import assign_splits
from expnet.data.store.manifest import ManifestRow
from expnet.errors import DataError
from expnet.evaluation.store.clips import DEFAULT_SPLIT

LISTS = Path(__file__).parents[4] / "shared" / "annotations" / "MEAD"


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def by_id(videos):
    return {video.clip_id: video for video in videos}


def test_actors_views_emotions_levels_and_the_sound_in_its_own_file(tmp_path):
    touch(
        tmp_path,
        "M003/video/front/angry/level_2/001.mp4",
        "M003/video/left_30/angry/level_2/001.mp4",
        "M003/audio/angry/level_2/001.m4a",
        "part2/W011/1/top/neutral/level_1/007.mp4",
        "part2/W011/2/down/neutral/level_1/007.mp4",
        "part2/W011/audio/neutral/level_1/007.m4a",
    )
    found = open_corpus(tmp_path, corpus="mead")
    videos = by_id(found.videos)
    assert found.problems == []
    assert sorted(videos) == [
        "M003_front_angry_level2_001",
        "M003_left_30_angry_level2_001",
        "W011_down_neutral_level1_007",
        "W011_top_neutral_level1_007",
    ]
    front = videos["M003_front_angry_level2_001"]
    assert (front.speaker, front.emotion, front.level, front.corpus) == ("M003", "angry", 2, "mead")
    assert front.audio == tmp_path / "M003/audio/angry/level_2/001.m4a"
    assert videos["W011_down_neutral_level1_007"].audio == tmp_path / "part2/W011/audio/neutral/level_1/007.m4a"


def test_sound_that_was_not_shipped_has_a_name(tmp_path):
    touch(tmp_path, "M003/video/front/sad/level_1/002.mp4", "M003/audio/sad/level_1/001.m4a")
    (video,) = read_corpus(tmp_path, corpus="mead")
    assert video.audio == tmp_path / "M003/audio/sad/level_1/002.m4a"
    assert not video.audio.exists()


def test_flat_names_are_read(tmp_path):
    touch(
        tmp_path, "M030_front_angry_level3_001.mp4", "M030_front_angry_level3_001.wav", "W009_top_fear_level_1_020.mp4"
    )
    videos = by_id(read_corpus(tmp_path, corpus="mead"))
    first, second = videos["M030_front_angry_level3_001"], videos["W009_top_fear_level1_020"]
    assert first.audio == tmp_path / "M030_front_angry_level3_001.wav"
    assert (first.speaker, first.emotion, first.level) == ("M030", "angry", 3)
    assert second.speaker == "W009"


def test_two_files_of_one_clip_are_reported_and_the_first_is_used(tmp_path):
    touch(tmp_path, "M003/video/front/happy/level_1/001.mp4", "copy/M003/video/front/happy/level_1/001.mp4")
    found = open_corpus(tmp_path, corpus="mead")
    assert [video.path for video in found.videos] == [tmp_path / "M003/video/front/happy/level_1/001.mp4"]
    (problem,) = found.problems
    assert str(problem).startswith(
        f"{tmp_path}/copy/M003/video/front/happy/level_1/001.mp4: it is clip M003_front_happy"
    )


def test_what_lies_elsewhere_is_reported(tmp_path):
    touch(
        tmp_path,
        "M003/video/front/angry/level_2/001.mp4",
        "M003/video/behind/angry/level_2/001.mp4",
        "M003/video/front/bored/level_2/001.mp4",
        "M003/video/front/angry/level_4/001.mp4",
        "intro.mp4",
    )
    found = open_corpus(tmp_path, corpus="mead")
    assert len(found.videos) == 1
    assert sorted(problem.file.relative_to(tmp_path).as_posix() for problem in found.problems) == [
        "M003/video/behind/angry/level_2/001.mp4",
        "M003/video/front/angry/level_4/001.mp4",
        "M003/video/front/bored/level_2/001.mp4",
        "intro.mp4",
    ]
    with pytest.raises(DataError, match="there is no MEAD video under"):
        read_corpus(touch(tmp_path / "other", "a.mp4"), corpus="mead")


def test_official_test_sentences_are_the_last_ten_of_neutral_and_six_of_others():
    # Numbers run on over gaps in the real corpus, so they are counted and not compared.
    neutral = [Utterance("M003", "neutral", 1, number) for number in (*range(1, 31), *range(60, 70))]
    angry = [Utterance("M003", "angry", level, number) for level in (1, 2) for number in range(1, 31)]
    test = official_test([*neutral, *angry])
    assert sorted(one.sentence for one in test if one.emotion == "neutral") == list(range(60, 70))
    assert sorted(one.sentence for one in test if one.level == 2) == list(range(25, 31))
    assert len(test) == 10 + 6 + 6


def test_all_views_of_a_sentence_are_on_one_side_even_where_one_lacks_the_last(tmp_path):
    numbers = [f"{number:03d}" for number in range(1, 9)]
    touch(tmp_path, *(f"M003/video/front/happy/level_1/{number}.mp4" for number in numbers))
    touch(tmp_path, *(f"M003/video/top/happy/level_1/{number}.mp4" for number in numbers[:4]))
    splits = {video.clip_id: video.split for video in read_corpus(tmp_path, corpus="mead")}
    assert [splits[f"M003_front_happy_level1_{number}"] for number in numbers] == ["", ""] + ["test"] * 6
    assert [splits[f"M003_top_happy_level1_{number}"] for number in numbers[:4]] == ["", "", "test", "test"]
    ignored = read_corpus(tmp_path, corpus="mead", official_splits=False)
    assert {video.split for video in ignored} == {""}


def test_training_on_the_official_split_shares_speakers_only_where_that_is_allowed():
    rows = [
        ManifestRow(f"{actor}-{number}", speaker=actor, corpus="mead", frames=100, split="test" if number > 7 else "")
        for actor in "abcdefghij"
        for number in range(10)
    ]
    with pytest.raises(DataError, match=r"10 speakers in two splits .*allow_shared_speakers=true"):
        assign_splits(rows)
    splits = assign_splits(rows, allow_shared_speakers=True, validation_fraction=0.2, test_fraction=0.2)
    assert {name for name, split in splits.items() if split == "test"} == {row.clip_id for row in rows if row.split}
    validation = {name[0] for name, split in splits.items() if split == "validation"}
    training = {name[0] for name, split in splits.items() if split == "train"}
    assert len(validation) == 2
    assert not validation & training


@pytest.mark.skipif(not LISTS.is_dir(), reason="no ../shared/annotations/MEAD beside the checkout")
def test_the_utterances_of_real_lists_fall_into_the_official_split():
    """EDTalk's lists name utterances of MEAD, actor#emotion#level#number; their other entries are of HDTF."""
    names = [
        name for part in ("train", "test") for name in json.loads((LISTS / f"EDTalk_lists_{part}.json").read_text())
    ]
    fields = [name.split("#") for name in names]
    utterances = {
        Utterance(actor, emotion, int(level.removeprefix("level_")), int(number))
        for actor, emotion, level, number in (parts for parts in fields if len(parts) == 4)
    }
    test = official_test(utterances)
    groups = {(one.actor, one.emotion, one.level) for one in utterances}
    neutral = sum(emotion == "neutral" for _, emotion, _ in groups)
    assert len(test) == 10 * neutral + 6 * (len(groups) - neutral)
    assert max(one.sentence for one in utterances) == 77


def test_a_run_on_the_official_split_is_configured_and_read_back():
    rows = [
        ManifestRow(f"{actor}-{number}", speaker=actor, corpus="mead", frames=100, split="test" if number > 7 else "")
        for actor in "abcdefghij"
        for number in range(10)
    ]
    options = dataclasses.asdict(DataConfig(allow_shared_speakers=True))
    given = {name: options[name] for name in DEFAULT_SPLIT}
    seed = given.pop("split_seed")
    assert given.pop("split_by") == "speaker"
    assert "test" in assign_splits(rows, seed=seed, **given).values()
    assert EvaluateDataConfig(allow_shared_speakers=True).allow_shared_speakers
