"""HDTF: five text files per subset (RD, WDA, WRA) that describe clips of YouTube videos (github.com/MRzzm/HDTF).

The YouTube videos are called films here, as opposed to the clips cut from them. ``<subset>_annotion_time.txt`` (sic)
has one line per film with the time ranges of its clips. Clip *i* of film ``Name`` is ``Name_i.mp4`` in ``_crop_wh.txt``
(left, width, top, height) and ``_crop_ratio.txt``; ``_resolution.txt`` has the frame height in whose pixels the crops
are given, and ``_video_url.txt`` the address of the film.

Films may be anywhere under the root as ``Name.mp4`` or ``RD_Name.mp4``, or already cut and cropped as
``RD_Name_000.mp4`` (github.com/universome/HDTF) or ``Name_0.mp4``. Both downloads come without audio, which is looked
for under the name of the film or the clip, as ``.wav``, ``.m4a``, ``.opus`` and so on, beside it or in ``audio/``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from expnet.data.corpora.source import Corpus, MediaFiles, PixelBox, Problem, SourceVideo, read_lines
from expnet.errors import DataError

SUBSETS = ("RD", "WDA", "WRA")
_TIMES, _CROPS, _RATIOS, _HEIGHTS, _ADDRESSES = ("annotion_time", "crop_wh", "crop_ratio", "resolution", "video_url")
_RANGE = re.compile(r"((?:\d+:)?\d+:\d+)-((?:\d+:)?\d+:\d+)")
_CLIP = re.compile(r"(.+)_(\d+)")
# The films of this subset are numbered without naming the speaker, so all of them stay in one split.
_UNNAMED_SUBSET = "RD"
# One person under two names.
_ALIASES = {"WhipJimClyburn": "JamesClyburn"}


@dataclass(frozen=True)
class HdtfClip:
    """One annotated clip.

    Args:
        subset: RD, WDA or WRA.
        film: Name of the film.
        number: Index of the clip in its film.
        start: Start in the film, in seconds.
        end: End in the film, in seconds.
        crop: Square around the face.
    """

    subset: str
    film: str
    number: int
    start: float
    end: float
    crop: PixelBox

    @property
    def name(self) -> str:
        """``RD_Radio11_000``."""
        return f"{self.subset}_{self.film}_{self.number:03d}"

    @property
    def speaker(self) -> str:
        """The film's name without its number, or the subset where films are only numbered."""
        if self.subset == _UNNAMED_SUBSET:
            return self.subset
        name = self.film.rstrip("0123456789")
        return _ALIASES.get(name, name)


def read_hdtf(root: Path) -> Corpus:
    """List the clips of HDTF, including clips whose film is missing, which become dropped clips.

    Args:
        root: Folder with the text files (in it or anywhere under it), films and audio.

    Raises:
        DataError: If there is no text file with times under the folder.
    """
    files = MediaFiles(root)
    folders = sorted({path.parent for path in files.others if path.stem.endswith(_TIMES)})
    if not folders:
        raise DataError(f"there is no *_{_TIMES}.txt under {root}; put HDTF's text files beside its films")
    videos, problems = [], []
    for folder in folders:
        clips, found = read_annotations(folder)
        problems += found
        videos += [_source(clip, files) for clip in clips]
    return Corpus(sorted(videos, key=lambda video: video.clip_id), problems)


def read_annotations(folder: Path) -> tuple[list[HdtfClip], list[Problem]]:
    """Read the text files of all subsets in a folder.

    Returns:
        The clips that have a time and a crop, and every line that cannot be used.
    """
    clips, problems = [], []
    for subset in SUBSETS:
        if (folder / f"{subset}_{_TIMES}.txt").is_file():
            reader = _Subset(folder, subset)
            clips += list(reader.clips())
            problems += sorted(reader.problems, key=lambda problem: (problem.file, problem.line))
    return clips, problems


class _Subset:
    """The five text files of a subset, and the problems in them."""

    def __init__(self, folder: Path, subset: str) -> None:
        self.folder = folder
        self.subset = subset
        self.problems: list[Problem] = []
        self.times = self._rows(_TIMES, r"\S+( \S+)+")
        self.crops = self._rows(_CROPS, r"\S+( \d+){4}")
        self.heights = self._rows(_HEIGHTS, r"\S+ \d+")
        self.ratios = self._rows(_RATIOS, r"\S+ \d+(\.\d+)?")
        self.addresses = self._rows(_ADDRESSES, r"\S+ https?://\S+")

    def clips(self) -> Iterator[HdtfClip]:
        """Yield clips with a time range and a crop, and note lines without a counterpart."""
        wanted = set()
        for film, (line, ranges) in self.times.items():
            for number, text in enumerate(ranges):
                wanted.add(f"{film}_{number}")
                times = self._range(line, text)
                crop = self._crop(line, film, number)
                if times and crop:
                    yield HdtfClip(self.subset, film, number, *times, crop)
        for kind, rows in ((_CROPS, self.crops), (_RATIOS, self.ratios)):
            for name in rows.keys() - wanted:
                self._note(kind, rows[name][0], f"{name} is not a clip of {self._file(_TIMES).name}")
        for kind, rows in ((_HEIGHTS, self.heights), (_ADDRESSES, self.addresses)):
            for name in rows.keys() - self.times.keys():
                self._note(kind, rows[name][0], f"{name} has no line in {self._file(_TIMES).name}")

    def _rows(self, kind: str, pattern: str) -> dict[str, tuple[int, list[str]]]:
        """Return line number and further words of each line by its first word without the suffix .mp4."""
        path = self._file(kind)
        if not path.is_file():
            self.problems.append(Problem(path, 0, "there is no such file"))
            return {}
        rows: dict[str, tuple[int, list[str]]] = {}
        for number, text in enumerate(read_lines(path), start=1):
            words = text.split()
            if not words:
                continue
            name = words[0].removesuffix(".mp4")
            if not re.fullmatch(pattern, " ".join(words)):
                self._note(kind, number, f"{text.strip()!r} does not have the format of this file's lines")
            elif name in rows:
                self._note(kind, number, f"{name} is listed twice; line {rows[name][0]} is used")
            else:
                rows[name] = (number, words[1:])
        return rows

    def _range(self, line: int, text: str) -> tuple[float, float] | None:
        match = _RANGE.fullmatch(text)
        if match is None:
            self._note(_TIMES, line, f"{text!r} is not a time range; expected mm:ss-mm:ss")
            return None
        start, end = (_seconds(time) for time in match.groups())
        if end <= start:
            self._note(_TIMES, line, f"{text} ends before it starts")
            return None
        return start, end

    def _crop(self, line: int, film: str, number: int) -> PixelBox | None:
        """Return the clip's crop, or None if there is none or it exceeds the frame."""
        name = f"{film}_{number}"
        if name not in self.crops:
            self._note(_TIMES, line, f"clip {name} has no line in {self._file(_CROPS).name}")
            return None
        crop_line, words = self.crops[name]
        left, width, top, height = map(int, words)
        frame_height = self._frame_height(line, film)
        if min(width, height) == 0:
            self._note(_CROPS, crop_line, f"the crop of {name} is empty")
            return None
        if frame_height and top + height > frame_height:
            reason = f"the crop of {name} ends at row {top + height} of a frame with {frame_height}"
            self._note(_CROPS, crop_line, reason)
            return None
        return PixelBox(left, top, width, height, frame_height)

    def _frame_height(self, line: int, film: str) -> int:
        """Return the frame height in whose pixels the crops are given; 0, if unknown, stands for the film's own."""
        height_line, words = self.heights.get(film, (0, ["0"]))
        height = int(words[0])
        if not height_line:
            self._note_once(_TIMES, line, f"{film} has no line in {self._file(_HEIGHTS).name}; its own height is used")
        elif not height:
            self._note_once(_HEIGHTS, height_line, f"the height of {film} is 0; its own height is used")
        return height

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.subset}_{kind}.txt"

    def _note(self, kind: str, line: int, reason: str) -> None:
        self.problems.append(Problem(self._file(kind), line, reason))

    def _note_once(self, kind: str, line: int, reason: str) -> None:
        if Problem(self._file(kind), line, reason) not in self.problems:
            self._note(kind, line, reason)


def _seconds(time: str) -> float:
    """Convert ``mm:ss`` or ``hh:mm:ss`` to seconds."""
    seconds = 0
    for part in time.split(":"):
        seconds = 60 * seconds + int(part)
    return float(seconds)


def _source(clip: HdtfClip, files: MediaFiles) -> SourceVideo:
    """Find the film, or the clip that was cut from it, and the audio."""
    film_names = (f"{clip.subset}_{clip.film}", clip.film)
    clip_names = (clip.name, f"{clip.film}_{clip.number}")
    film = files.video(*film_names) or files.root / f"{film_names[0]}.mp4"
    cut = files.video(*clip_names)
    video = SourceVideo(cut or film, clip.name, clip.speaker, corpus="hdtf", language="en")
    own_audio = files.audio(*clip_names, beside=cut) if cut else None
    audio = own_audio or files.audio(*film_names, beside=cut or film)
    if cut:
        return replace(video, audio=audio, audio_start=0.0 if own_audio or not audio else clip.start)
    return replace(video, audio=audio, start=clip.start, end=clip.end, crop=clip.crop)
