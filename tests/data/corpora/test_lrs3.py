from pathlib import Path

import pytest

from expnet.data.corpora import open_corpus, read_corpus
from expnet.data.corpora.lrs3 import LONGEST_ITEM, Word, cut_at_pauses, read_words
from expnet.data.splits import assign_splits
from expnet.data.store.manifest import ManifestRow
from expnet.errors import DataError

FORMAT = Path(__file__).parents[4] / "shared" / "annotations" / "LRS" / "LRS3_txt_format.txt"


def item(root, name, words=None, *, text=None):
    """A video and its text file; words are (word, start, end)."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".mp4").touch()
    lines = ["Text:  HELLO WORLD", "Conf:  4", "Ref:   x", ""]
    lines += ["FRAME \tX \tY \tW \tH ", "000000 \t0.401 \t0.210 \t0.181 \t0.322", ""]
    if words is not None:
        lines += ["WORD START END ASDSCORE", *(f"{word} {start} {end} 4.2" for word, start, end in words)]
    path.with_suffix(".txt").write_text(text if text is not None else "\n".join(lines) + "\n")


def talk(*sentences):
    """Words of half a second, back to back, in sentences (start, end)."""
    return [
        (f"W{start}", start + index / 2, start + index / 2 + 0.5)
        for start, end in sentences
        for index in range(round(2 * (end - start)))
    ]


def test_parts_speakers_and_the_official_test_set(tmp_path):
    item(tmp_path, "pretrain/talkA/00001", talk((0.5, 5.5)))
    item(tmp_path, "trainval/talkA/50001")
    item(tmp_path, "test/talkB/00003")
    found = open_corpus(tmp_path, corpus="lrs3")
    assert found.problems == []
    assert {video.clip_id: (video.speaker, video.split) for video in found.videos} == {
        "pretrain_talkA_00001": ("talkA", ""),
        "test_talkB_00003": ("talkB", "test"),
        "trainval_talkA_50001": ("talkA", ""),
    }
    assert {video.part for video in found.videos} == {""}
    assert {video.language for video in found.videos} == {"en"}


def test_long_items_are_cut_in_pauses(tmp_path):
    item(tmp_path, "pretrain/talk/00001", talk((0.5, 8.5), (9.0, 14.0), (14.2, 20.2), (21.2, 24.2)))
    videos = read_corpus(tmp_path, corpus="lrs3")
    # The pause of .2 s is none; the others' middles are at 8.75 and 20.7.
    assert [(video.clip_id, video.start, video.end) for video in videos] == [
        ("pretrain_talk_00001_00", 0.0, 8.75),
        ("pretrain_talk_00001_01", 8.75, 20.7),
        ("pretrain_talk_00001_02", 20.7, None),
    ]
    assert len({video.origin for video in videos}) == 3


def test_parts_are_as_long_as_they_may_be():
    words = [Word("W", float(second), second + 0.5) for second in range(60)]
    parts = cut_at_pauses(words)
    assert parts[0][0] == 0.0
    assert parts[-1][1] is None
    ends = [end or words[-1].end for _, end in parts]
    lengths = [end - start for (start, _), end in zip(parts, ends, strict=True)]
    assert max(lengths) <= LONGEST_ITEM
    assert min(lengths[:-1]) > LONGEST_ITEM - 1.5
    assert [start for start, _ in parts[1:]] == ends[:-1]
    # A part is longer where the speech has no pause.
    assert cut_at_pauses([Word("W", 0.0, 20.0), Word("W", 20.1, 40.0)]) == [(0.0, None)]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("Text: A\nConf: 4\n\nWORD START END ASDSCORE\nA 0.1\n", 5, "'A 0.1' is not a word with start and end"),
        (
            "Text: A\n\nWORD START END ASDSCORE\nA 1.0 2.0 3\nB 1.5 2.5 3\n",
            5,
            "B does not follow the word before it in time",
        ),
        ("something else\n", 1, "no line begins with 'Text:'"),
    ],
)
def test_a_text_that_cannot_be_used_is_reported_and_the_item_taken_whole(tmp_path, text, line, reason):
    item(tmp_path, "pretrain/talk/00001", text=text)
    found = open_corpus(tmp_path, corpus="lrs3")
    (problem,) = found.problems
    assert (problem.file.name, problem.line) == ("00001.txt", line)
    assert problem.reason == f"{reason}; the item is not cut"
    assert [video.part for video in found.videos] == [""]
    with pytest.raises(DataError, match=rf"00001\.txt:{line}: "):
        read_words(tmp_path / "pretrain/talk/00001.txt")


def test_a_missing_text_is_reported(tmp_path):
    item(tmp_path, "pretrain/talk/00001")
    (tmp_path / "pretrain/talk/00001.txt").unlink()
    found = open_corpus(tmp_path, corpus="lrs3")
    assert len(found.videos) == len(found.problems) == 1
    with pytest.raises(DataError, match=r"there is no video under .*pretrain,trainval,test"):
        read_corpus(tmp_path / "pretrain", corpus="lrs3")


def test_the_official_test_set_gets_no_further_speakers():
    rows = [ManifestRow(f"p{index}", speaker=f"p{index}", corpus="lrs3", frames=100) for index in range(50)]
    rows += [
        ManifestRow(f"t{index}", speaker=f"t{index}", corpus="lrs3", frames=100, split="test") for index in range(5)
    ]
    rows += [ManifestRow(f"h{index}", speaker=f"h{index}", corpus="hdtf", frames=100) for index in range(40)]
    splits = assign_splits(rows, validation_fraction=0.1, test_fraction=0.1)
    tested = [name for name, split in splits.items() if split == "test"]
    assert sorted(name for name in tested if name[0] != "h") == [f"t{index}" for index in range(5)]
    assert sum(name[0] == "h" for name in tested) == 4  # HDTF has no test set of its own
    assert sum(split == "validation" for split in splits.values()) == 9


@pytest.mark.skipif(not FORMAT.is_file(), reason="no ../shared/annotations/LRS beside the checkout")
def test_the_written_example_of_the_format_is_read():
    words = read_words(FORMAT)
    assert [word.text for word in words] == ["THIS", "IS", "A", "SMALL", "EXAMPLE"]
    assert (words[0].start, words[-1].end) == (0.04, 1.44)
