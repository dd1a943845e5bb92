"""Test lists: which clips others scored, where their lists are published, and readers of them."""

import csv
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from expnet.data.corpora.source import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from expnet.errors import DataError

_COLUMNS = ("clip", "file", "video", "path", "filename")


@dataclass(frozen=True)
class TestList:
    """A published list of clips.

    Attributes:
        name: The name.
        corpus: The corpus whose clips it names.
        clips: The number of clips; 0 where the list is not published.
        used_by: Whose test it is.
        source: Where it was published.
        note: What a user must know.
    """

    __test__ = False  # no test, whatever pytest thinks of the name

    name: str
    corpus: str
    clips: int
    used_by: str
    source: str
    note: str = ""


TEST_LISTS = {
    entry.name: entry
    for entry in (
        TestList(
            "edtalk_hdtf", "HDTF", 77, "EDTalk", "tanshuai0219/EDTalk, lists/test.json",
            "a list of names with those of MEAD, which EDTalk scores in shorter parts: clips=PATH/test.json",
        ),
        TestList(
            "edtalk_mead", "MEAD", 2293, "EDTalk", "tanshuai0219/EDTalk, lists/test.json",
            "actors M003, M030, W009 and W015, in the same file: clips=PATH/test.json",
        ),
        TestList(
            "hdtf", "HDTF", 436, "SadTalker (346 of them, not named) and others",
            "MRzzm/HDTF, HDTF_dataset/*_annotion_time.txt",
            note="read by --corpus hdtf; no official split, so name the clips that you score",
        ),
        TestList(
            "lrs2_test", "LRS2", 1243, "IP_LAP and others", "the test.txt of the corpus",
            note="comes with the corpus, under its agreement: clips=PATH/test.txt",
        ),
        TestList(
            "wav2lip_lrs2", "LRS2", 0, "Wav2Lip", "Rudrabha/Wav2Lip, evaluation/test_filelists/lrs2.txt",
            note="two names a line, audio and video: a list of pairs for cross-driven clips",
        ),
        TestList(
            "wav2lip_lrs3", "LRS3", 0, "Wav2Lip", "Rudrabha/Wav2Lip, evaluation/test_filelists/lrs3.txt",
            note="two names a line, audio and video: a list of pairs for cross-driven clips",
        ),
        TestList(
            "omniavatar_hdtf", "HDTF", 0, "OmniAvatar", "400 videos, the first 15 s (OmniAvatar issue 90)",
            note="the names are not published; protocol.seconds=15 is",
        ),
        TestList(
            "infinitetalk", "HDTF and others", 0, "InfiniteTalk", "40 videos of a set, audio permuted",
            note="neither names nor permutation are published; expnet corpora pairs draws one",
        ),
    )
}  # fmt: skip
"""The published lists by name."""


def read_test_list(name: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read the names of the clips of a list.

    Args:
        name: A file: .json (a list of names), .csv (a column clip, file, video,
            path or filename), or any other text, one clip a line, of which the first word counts.

    Raises:
        DataError: The file cannot be read, or names no clip.
    """
    path = Path(name).expanduser()
    entry = TEST_LISTS.get(str(name))
    if entry is not None and not path.is_file():
        raise DataError(f"the list {name} does not come with expnet ({entry.source}; {entry.note}); give its file")
    try:
        names = _names(path)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a list of clips ({error})") from error
    if not names:
        raise DataError(f"{path} names no clip; expected one a line, a json list, or a csv file with a column clip")
    return tuple(dict.fromkeys(names))


def _names(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".json":
        content = json.loads(text)
        if not isinstance(content, list) or not all(isinstance(item, str) for item in content):
            raise ValueError("its content is no list of names")
        return content
    if path.suffix.lower() == ".csv":
        lines = list(csv.DictReader(text.splitlines(), strict=True))
        column = next((name for name in _COLUMNS if lines and name in lines[0]), None)
        if column is None:
            raise ValueError(f"it has no column {', '.join(_COLUMNS)}")
        return [line[column].strip() for line in lines if line[column]]
    return [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith("#")]


def comparable_name(name: str) -> str:
    """Return a name in the form in which lists and files agree: without suffix, one separator between its parts.

    ``M003#angry#level_1#001``, ``M003/angry/level_1/001.mp4`` and ``M003_angry_level_1_001`` are one clip.
    """
    path = Path(name)
    if path.suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES:
        name = path.with_suffix("").as_posix()
    return re.sub(r"[/\\#_\s]+", "_", name).strip("_")


def listed(clips: Iterable[str], names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the clips that a list names, by their whole name or the last part of it, and its names without a clip."""
    wanted = {comparable_name(name): name for name in names}
    found, used = [], set()
    for clip in clips:
        keys = {comparable_name(clip), comparable_name(Path(clip).name)} & wanted.keys()
        if keys:
            found.append(clip)
            used |= keys
    return found, [name for key, name in wanted.items() if key not in used]
