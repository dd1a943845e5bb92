from collections import Counter
from pathlib import Path

import pytest

from expnet.data.corpora import PixelBox, open_corpus, read_corpus
from expnet.data.corpora.hdtf import read_annotations
from expnet.errors import DataError

ANNOTATIONS = Path(__file__).parents[4] / "shared" / "annotations" / "HDTF"


def annotate(root, subset="WDA", *, times, crops, heights=None, urls=None, ratios=None, mark=""):
    """Write a subset's five files; a name in the times has its .mp4, in the addresses it has not."""
    root.mkdir(parents=True, exist_ok=True)
    films = [line.split()[0].removesuffix(".mp4") for line in times]
    contents = {
        "annotion_time": times,
        "crop_wh": crops,
        "crop_ratio": [f"{line.split()[0]} 1.2" for line in crops] if ratios is None else ratios,
        "resolution": [f"{film}.mp4 720" for film in films] if heights is None else heights,
        "video_url": [f"{film} https://www.youtube.com/watch?v=x" for film in films] if urls is None else urls,
    }
    for kind, lines in contents.items():
        (root / f"{subset}_{kind}.txt").write_text(mark + "\n".join(lines) + "\n", encoding="utf-8")
    return root


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def reasons(problems):
    return {f"{problem.file.name}:{problem.line}": problem.reason for problem in problems}


def test_clips_have_their_times_and_crops(tmp_path):
    annotate(
        tmp_path,
        times=["AmySmith1.mp4 00:35-02:45 1:03:25-1:04:00 "],
        crops=["AmySmith1_0.mp4 487 600 20 600", "AmySmith1_1.mp4 10 700 0 700"],
        mark="\ufeff",
    )
    touch(tmp_path, "AmySmith1.mp4", "audio/AmySmith1.m4a")
    found = open_corpus(tmp_path, corpus="hdtf")
    assert found.problems == []
    assert found.terms.name == "HDTF"
    first, second = found.videos
    assert (first.clip_id, first.start, first.end) == ("WDA_AmySmith1_000", 35.0, 165.0)
    assert (second.clip_id, second.start, second.end) == ("WDA_AmySmith1_001", 3805.0, 3840.0)
    assert first.crop == PixelBox(487, 20, 600, 600, frame_height=720)
    assert first.path == second.path == tmp_path / "AmySmith1.mp4"
    assert first.audio == tmp_path / "audio" / "AmySmith1.m4a"
    assert (first.speaker, first.corpus, first.split, first.part) == ("AmySmith", "hdtf", "", "35.00-165.00")
    assert first.origin != second.origin


def test_speakers_are_names_without_numbers_and_unnamed_films_stay_together(tmp_path):
    annotate(
        tmp_path,
        times=["WhipJimClyburn.mp4 00:01-00:09", "JamesClyburn.mp4 00:01-00:09", "BobBo12.mp4 00:01-00:09"],
        crops=[f"{name}_0.mp4 0 9 0 9" for name in ("WhipJimClyburn", "JamesClyburn", "BobBo12")],
    )
    annotate(
        tmp_path,
        "RD",
        times=["Radio1.mp4 00:01-00:09", "Radio2.mp4 00:01-00:09"],
        crops=["Radio1_0.mp4 0 9 0 9", "Radio2_0.mp4 0 9 0 9"],
    )
    speakers = {video.clip_id: video.speaker for video in read_corpus(tmp_path, corpus="hdtf")}
    assert speakers == {
        "RD_Radio1_000": "RD",
        "RD_Radio2_000": "RD",
        "WDA_BobBo12_000": "BobBo",
        "WDA_JamesClyburn_000": "JamesClyburn",
        "WDA_WhipJimClyburn_000": "JamesClyburn",
    }
    named = read_corpus(tmp_path, corpus="hdtf", speakers={"RD_Radio1.mp4": "anna"})
    assert named[0].speaker == "anna"
    assert named[1].speaker == "RD"


@pytest.mark.parametrize("cut", ["WDA_Amy_001.mp4", "Amy_1.mp4", "clips/WDA_Amy_001.mp4"])
def test_clips_that_were_cut_already_are_taken_whole_with_the_film_s_sound_from_their_start(tmp_path, cut):
    annotate(
        tmp_path,
        times=["Amy.mp4 00:05-00:10 00:20-00:25"],
        crops=["Amy_0.mp4 0 9 0 9", "Amy_1.mp4 0 9 0 9"],
    )
    touch(tmp_path, cut, "audio/WDA_Amy.wav")
    whole, part = read_corpus(tmp_path, corpus="hdtf")
    assert (part.path, part.start, part.end, part.crop) == (tmp_path / cut, 0.0, None, None)
    assert (part.audio, part.audio_start) == (tmp_path / "audio" / "WDA_Amy.wav", 20.0)
    # The other clip's film is not there: it is listed where it should be, and becomes a row with a reason.
    assert (whole.path, whole.start) == (tmp_path / "WDA_Amy.mp4", 5.0)
    touch(tmp_path, str(Path(cut).with_suffix(".wav")))
    part = read_corpus(tmp_path, corpus="hdtf")[1]
    assert (part.audio, part.audio_start) == ((tmp_path / cut).with_suffix(".wav"), 0.0)


def test_every_line_that_cannot_be_used_is_reported(tmp_path):
    annotate(
        tmp_path,
        times=[
            "A.mp4 00:05-00:10 00:50-00:40 soon 00:20-00:30",
            "A.mp4 00:01-00:02",
            "B.mp4",
            "C.mp4 00:01-00:09 00:10-00:19",
            "D.mp4 00:01-00:09",
        ],
        crops=[
            "A_0.mp4 0 9 0 9",
            "A_1.mp4 0 9 0 9",
            "A_2.mp4 0 9 0 9",
            "C_0.mp4 0 700 30 700",
            "C_1.mp4 0 0 0 0",
            "D_0.mp4 1 2 3",
            "E_0.mp4 0 9 0 9",
        ],
        heights=["A.mp4 720", "C.mp4 720", "D.mp4 0", "F.mp4 720"],
        urls=["A https://a", "C ftp://c", "", "D https://d", "G https://g"],
        ratios=["A_0.mp4 1.2"],
    )
    found = open_corpus(tmp_path, corpus="hdtf")
    assert [video.clip_id for video in found.videos] == ["WDA_A_000"]
    said = [str(problem).removeprefix(f"{tmp_path}/WDA_") for problem in found.problems]
    assert said == [
        "annotion_time.txt:1: 00:50-00:40 ends before it starts",
        "annotion_time.txt:1: 'soon' is not a time range; expected mm:ss-mm:ss",
        "annotion_time.txt:1: clip A_3 has no line in WDA_crop_wh.txt",
        "annotion_time.txt:2: A is listed twice; line 1 is used",
        "annotion_time.txt:3: 'B.mp4' does not have the format of this file's lines",
        "annotion_time.txt:5: clip D_0 has no line in WDA_crop_wh.txt",
        "crop_wh.txt:4: the crop of C_0 ends at row 730 of a frame with 720",
        "crop_wh.txt:5: the crop of C_1 is empty",
        "crop_wh.txt:6: 'D_0.mp4 1 2 3' does not have the format of this file's lines",
        "crop_wh.txt:7: E_0 is not a clip of WDA_annotion_time.txt",
        "resolution.txt:4: F has no line in WDA_annotion_time.txt",
        "video_url.txt:2: 'C ftp://c' does not have the format of this file's lines",
        "video_url.txt:5: G has no line in WDA_annotion_time.txt",
    ]


def test_a_height_that_is_not_known_is_reported_once_and_the_crop_taken_as_it_is(tmp_path):
    times, crops = ["A.mp4 00:01-00:02 00:03-00:04", "B.mp4 00:01-00:02"], ["A_0 0 9 0 9", "A_1 0 9 0 9", "B_0 0 9 0 9"]
    annotate(tmp_path, times=times, crops=crops, heights=["A.mp4 0"])
    found = open_corpus(tmp_path, corpus="hdtf")
    assert [video.crop.frame_height for video in found.videos] == [0, 0, 0]
    assert reasons(found.problems) == {
        "WDA_annotion_time.txt:2": "B has no line in WDA_resolution.txt; its own height is used",
        "WDA_resolution.txt:1": "the height of A is 0; its own height is used",
    }


def test_missing_files(tmp_path):
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(DataError, match=r"there is no .*annotion_time\.txt under"):
        read_corpus(tmp_path, corpus="hdtf")
    with pytest.raises(DataError, match="there is no folder at"):
        read_corpus(tmp_path / "nowhere", corpus="hdtf")
    annotate(tmp_path / "HDTF_dataset", times=["A.mp4 00:01-00:02"], crops=["A_0.mp4 0 9 0 9"])
    (tmp_path / "HDTF_dataset" / "WDA_video_url.txt").unlink()
    found = open_corpus(tmp_path, corpus="hdtf")
    assert reasons(found.problems) == {"WDA_video_url.txt:0": "there is no such file"}
    assert len(found.videos) == 1


@pytest.mark.skipif(not ANNOTATIONS.is_dir(), reason="no ../shared/annotations/HDTF beside the checkout")
def test_the_real_annotations_are_read_to_the_last_line():
    clips, problems = read_annotations(ANNOTATIONS)
    # 436 ranges, of which 15 have no crop and 3 a crop that does not fit into their frames.
    assert Counter(clip.subset for clip in clips) == {"RD": 64, "WDA": 187, "WRA": 167}
    assert len({clip.name for clip in clips}) == 418
    assert len({clip.speaker for clip in clips}) == 214
    assert sum(clip.end - clip.start for clip in clips) == 58_538
    assert len(problems) == 21
    assert sum("no line in" in problem.reason and problem.reason.startswith("clip") for problem in problems) == 15
    assert sum("ends at row" in problem.reason for problem in problems) == 3
    assert {problem.reason for problem in problems if "Radio24" in problem.reason} == {
        "Radio24 has no line in RD_annotion_time.txt"
    }
    assert [problem.line for problem in problems if "KevinMcCarthy1" in problem.reason] == [76]
