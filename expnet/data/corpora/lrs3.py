"""LRS3-TED: ``{pretrain,trainval,test}/<talk>/<NNNNN>.mp4`` with a text file each (Afouras et al., arXiv 1809.00496).

A text file has lines ``Text:``, ``Conf:`` and possibly ``Ref:``, then tables of face boxes and, in pretrain, of words
with their times. ``test`` remains the test set. Items of pretrain longer than 15 s are cut in pauses longer than 0.4 s.
These are AV-HuBERT's values (facebookresearch/av_hubert:avhubert/preparation/lrs3_prepare.py), which cuts in every such
pause; here only as many cuts are made as are needed because parts of one or two seconds would be lost. LRS3 names no
speakers, so the talk stands for the speaker.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from expnet.data.corpora.source import VIDEO_SUFFIXES, Corpus, Problem, SourceVideo, read_lines, walk
from expnet.data.splits import TEST
from expnet.errors import DataError

PARTS = ("pretrain", "trainval", "test")
LONGEST_ITEM = 15.0
"""Longest item in seconds; longer ones are cut."""
LEAST_PAUSE = 0.4
"""Shortest pause, in seconds, in which an item may be cut."""
_WORDS_HEADER = ["WORD", "START", "END", "ASDSCORE"]


@dataclass(frozen=True)
class Word:
    """A word and its times in seconds."""

    text: str
    start: float
    end: float


class _BadLineError(Exception):
    """A line of a text file cannot be used."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read_lrs3(root: Path) -> Corpus:
    """List the videos of LRS3, with long ones in parts.

    Args:
        root: Folder that holds at least one of pretrain, trainval and test.

    Raises:
        DataError: If there is none of them, or no video in them.
    """
    videos: list[SourceVideo] = []
    problems: list[Problem] = []
    for part in PARTS:
        for path in walk(root / part):
            if path.suffix.lower() in VIDEO_SUFFIXES:
                videos += _items(path, part, problems)
    if not videos:
        raise DataError(f"there is no video under {root}/{{{','.join(PARTS)}}}; give the folder that holds them")
    return Corpus(sorted(videos, key=lambda video: video.clip_id), problems)


def read_words(path: Path) -> list[Word]:
    """Read the word table of a text file; empty if there is none.

    Raises:
        DataError: If the file cannot be read, or a line of the table is not a word with times in order.
    """
    try:
        return _parse_words(read_lines(path))
    except _BadLineError as error:
        raise DataError(f"{path}:{error.line}: {error}") from error


def cut_at_pauses(words: list[Word]) -> list[tuple[float, float | None]]:
    """Cut an item in pauses, into parts as long as possible.

    Returns:
        Start and end of the parts in seconds; the end of the last part is None.
    """
    pauses = [
        (before.end + after.start) / 2 for before, after in pairwise(words) if after.start - before.end > LEAST_PAUSE
    ]
    ends = [*pauses, words[-1].end]
    cuts = [0.0]
    for pause, following in pairwise(ends):
        if following - cuts[-1] > LONGEST_ITEM:
            cuts.append(pause)
    return [*pairwise(cuts), (cuts[-1], None)]


def _items(path: Path, part: str, problems: list[Problem]) -> list[SourceVideo]:
    """Return the item, or the parts that it is cut into."""
    talk = path.parent.name
    whole = SourceVideo(
        path=path,
        clip_id=f"{part}_{talk}_{path.stem}",
        speaker=talk,
        corpus="lrs3",
        split=TEST if part == "test" else "",
        language="en",
    )
    if part != "pretrain":  # the other parts have no word times, and their items last at most 6 s
        return [whole]
    text = path.with_suffix(".txt")
    try:
        words = _parse_words(read_lines(text))
    except (_BadLineError, DataError) as error:
        line = error.line if isinstance(error, _BadLineError) else 0
        problems.append(Problem(text, line, f"{error}; the item is not cut"))
        return [whole]
    if not words or words[-1].end <= LONGEST_ITEM:
        return [whole]
    return [
        replace(whole, clip_id=f"{whole.clip_id}_{number:02d}", start=start, end=end)
        for number, (start, end) in enumerate(cut_at_pauses(words))
    ]


def _parse_words(lines: list[str]) -> list[Word]:
    """Parse the lines after the header of the word table."""
    if not any(line.startswith("Text:") for line in lines):
        raise _BadLineError(1, "no line begins with 'Text:'")
    rows = [line.split() for line in lines]
    if _WORDS_HEADER not in rows:
        return []
    first = rows.index(_WORDS_HEADER) + 1
    words: list[Word] = []
    for number, row in enumerate(rows[first:], start=first + 1):
        if not row:
            continue
        try:
            text, start, end = row[0], float(row[1]), float(row[2])
        except (IndexError, ValueError) as error:
            raise _BadLineError(number, f"{' '.join(row)!r} is not a word with start and end") from error
        if end < start or (words and start < words[-1].end):
            raise _BadLineError(number, f"{text} does not follow the word before it in time")
        words.append(Word(text, start, end))
    return words
