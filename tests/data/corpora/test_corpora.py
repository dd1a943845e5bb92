from pathlib import Path

import pytest

from expnet.data.corpora import LAYOUTS, TERMS, PixelBox, read_corpus
from expnet.errors import ConfigError, DataError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def by_id(videos):
    return {video.clip_id: video for video in videos}


def test_speaker_is_the_manifest_s_else_the_folder_s_else_the_file_s(tmp_path):
    touch(tmp_path, "one.mp4", "two.MOV", "anna/three.mkv", "anna/deep/four.webm", "notes.txt", ".hidden.mp4")
    (tmp_path / "manifest.csv").write_text("file,person,lang,emotion,level,split\none.mp4,ben,de,Happy,3,val\n")
    videos = by_id(read_corpus(tmp_path))
    assert {name: video.speaker for name, video in videos.items()} == {
        "one": "ben",
        "two": "two",
        "anna_three": "anna",
        "anna_deep_four": "deep",
    }
    one = videos["one"]
    assert (one.language, one.emotion, one.level, one.split) == ("de", "happy", 3, "validation")
    assert one.corpus == tmp_path.name


def test_a_manifest_in_a_subfolder_is_read(tmp_path):
    touch(tmp_path, "a/one.mp4")
    (tmp_path / "a" / "manifest.csv").write_text("\ufefffile,speaker,corpus\none.mp4,s1,grid\n", encoding="utf-8")
    (video,) = read_corpus(tmp_path)
    assert (video.speaker, video.corpus) == ("s1", "grid")


def test_speakers_can_be_given(tmp_path):
    touch(tmp_path / "videos", "one.mp4", "two.mp4")
    videos = by_id(read_corpus(tmp_path / "videos", speakers={"one.mp4": "x", "*": "y"}))
    assert (videos["one"].speaker, videos["two"].speaker) == ("x", "y")
    (tmp_path / "who.csv").write_text("file,speaker\none.mp4,z\n")
    videos = by_id(read_corpus(tmp_path / "videos", speakers=tmp_path / "who.csv"))
    assert (videos["one"].speaker, videos["two"].speaker) == ("z", "two")


def test_names_are_told_apart(tmp_path):
    touch(tmp_path, "a/b.mp4", "a_b.mp4", "a_b.mov", "x.tar.mp4")
    assert sorted(by_id(read_corpus(tmp_path))) == ["a_b", "a_b_mov", "a_b_mp4", "x.tar"]


def test_a_promised_video_that_is_missing_is_listed(tmp_path):
    touch(tmp_path, "one.mp4")
    (tmp_path / "manifest.csv").write_text("file,speaker\none.mp4,a\ngone.mp4,b\n")
    assert sorted(by_id(read_corpus(tmp_path))) == ["gone", "one"]


def test_one_video_is_a_corpus(tmp_path):
    touch(tmp_path, "one.mp4", "two.mp4")
    (tmp_path / "manifest.csv").write_text("file,speaker\none.mp4,a\ntwo.mp4,b\n")
    (video,) = read_corpus(tmp_path / "one.mp4")
    assert (video.clip_id, video.speaker) == ("one", "a")


def test_what_cannot_be_a_corpus_is_said(tmp_path):
    with pytest.raises(DataError, match="there is no folder or video"):
        read_corpus(tmp_path / "missing")
    with pytest.raises(DataError, match="there is no video in"):
        read_corpus(tmp_path)
    with pytest.raises(
        ConfigError, match="corpus must be one of folder, mat, hdtf, lrs3, mead, or MODULE:CLASS, not 'vox'"
    ):
        read_corpus(tmp_path, corpus="vox")
    touch(tmp_path, "one.mp4")
    (tmp_path / "manifest.csv").write_text("name,who\none.mp4,a\n")
    with pytest.raises(DataError, match="has the columns name, who; expected file and one of speaker"):
        read_corpus(tmp_path)


def test_the_terms_in_the_documentation_are_those_that_are_printed():
    page = (Path(__file__).parents[3] / "docs" / "guides" / "corpora.md").read_text()
    for terms in TERMS.values():
        assert f"| {terms.name} | {terms.licence} | {terms.page} | {terms.note} |" in page
    assert set(TERMS) == set(LAYOUTS) - {"folder", "mat"}


def test_speakers_can_be_given_for_every_corpus(tmp_path):
    touch(tmp_path, "trainval/a/1.mp4", "trainval/b/2.mp4")
    (tmp_path / "who.csv").write_text("file,speaker\ntrainval/a/1.mp4,anna\n")
    assert [video.speaker for video in read_corpus(tmp_path, corpus="lrs3", speakers=tmp_path / "who.csv")] == [
        "anna",
        "b",
    ]
    assert [video.speaker for video in read_corpus(tmp_path, corpus="lrs3", speakers={"*": "one"})] == ["one", "one"]


def test_crops_are_scaled_to_the_frames_at_hand():
    box = PixelBox(100, 50, 400, 400, frame_height=720)
    assert box.in_frame(720) is box
    assert box.in_frame(360) == PixelBox(50, 25, 200, 200, 360)
    own = PixelBox(100, 50, 400, 400)
    assert own.in_frame(360) is own


def test_the_command_passes_its_options_on(monkeypatch):
    from expnet.cli import command_line
    from expnet.data.preprocess import videos as preprocess
    from expnet.data.preprocess.sync_offset import OffsetPolicy

    seen = {}
    monkeypatch.setattr(preprocess, "preprocess", lambda *paths, **options: seen.update(options, paths=paths))
    options = ["--corpus", "mead", "--offset", "correct", "--max-offset", "2", "--ignore-splits"]
    assert command_line.main(["preprocess", "videos", "--output", "store", *options]) == 0
    assert seen["paths"] == ("videos", "store")
    assert (seen["corpus"], seen["official_splits"]) == ("mead", False)
    assert seen["offset"] == OffsetPolicy("correct", 2)
