"""What the reader of a corpus returns: videos with their metadata, and the lines and files that it could not use."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from expnet.data.corpora.terms import Terms
from expnet.errors import DataError
from expnet.io.path_text import path_text

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv")
) | {".ts", ".webm", ".wmv"}
AUDIO_SUFFIXES = frozenset((".aac", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"))
# Folders that hold audio; a .webm or .mp4 file in one of them is an audio file.
AUDIO_FOLDERS = frozenset(("audio", "audios", "sound", "wav", "wavs"))


@dataclass(frozen=True)
class PixelBox:
    """A rectangle in the frames of a video, in whole pixels.

    Args:
        x: Left edge.
        y: Upper edge.
        width: Width.
        height: Height.
        frame_height: Height of the frames in whose pixels the box is given; 0 for the video's own height.
    """

    x: int
    y: int
    width: int
    height: int
    frame_height: int = 0

    def in_frame(self, frame_height: int) -> "PixelBox":
        """Scale the box to frames that are ``frame_height`` pixels high."""
        if self.frame_height in (0, frame_height):
            return self
        scale = frame_height / self.frame_height
        x, y, width, height = (round(value * scale) for value in (self.x, self.y, self.width, self.height))
        return PixelBox(x, y, width, height, frame_height)


@dataclass(frozen=True)
class SourceVideo:
    """A video, or part of one, that will become clips; or a coefficient track, which needs no tracking.

    Args:
        path: The file, or the folder of a track with one file per frame.
        clip_id: Name of the clip.
        speaker: Name of the speaker.
        corpus: Name of the corpus.
        split: Split assigned by the corpus, or empty.
        emotion: Lower-case name of the emotion, or empty.
        level: Intensity of the emotion, 0 if unknown.
        language: Language code, or empty.
        audio: Separate audio file; None if the video has the audio.
        audio_start: Time in ``audio`` at which the video begins, in seconds.
        start: Start of the part in the video, in seconds.
        end: End of the part in seconds; None for the end of the video.
        crop: Part of the frame that shows the face; None for the whole frame.
        fps: Frame rate of a coefficient track whose files do not store it; 0 if unknown.
    """

    path: Path
    clip_id: str
    speaker: str
    corpus: str = ""
    split: str = ""
    emotion: str = ""
    level: int = 0
    language: str = ""
    audio: Path | None = None
    audio_start: float = 0.0
    start: float = 0.0
    end: float | None = None
    crop: PixelBox | None = None
    fps: float = 0.0

    @property
    def part(self) -> str:
        """The part as ``start-end`` in seconds, empty for the whole video. With the path, it identifies the source."""
        if not self.start and self.end is None:
            return ""
        return f"{self.start:.2f}-{'' if self.end is None else f'{self.end:.2f}'}"

    @property
    def origin(self) -> tuple[str, str]:
        """Path and part, by which a store recognises a finished source."""
        return path_text(self.path), self.part


@dataclass(frozen=True)
class Problem:
    """Something in a corpus that cannot be used.

    Args:
        file: The file.
        line: Line number, starting at 1; 0 for the whole file.
        reason: Why it cannot be used.
    """

    file: Path
    line: int
    reason: str

    def __str__(self) -> str:
        """Format as ``file:line: reason``."""
        return path_text(f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}")


@dataclass(frozen=True)
class Corpus:
    """The contents of a corpus.

    Args:
        videos: Sources, ordered by name.
        problems: Lines and files that could not be used.
        terms: Terms of use; None if unknown.
    """

    videos: list[SourceVideo]
    problems: list[Problem]
    terms: Terms | None = None


class MediaFiles:
    """The video and audio files under a folder, indexed by name without suffix.

    Hidden files and folders are skipped; links to folders are not followed.

    Args:
        root: The folder.

    Raises:
        DataError: If there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"there is no folder at {root}; give the folder of the corpus")
        self.root = root
        self.videos: dict[str, list[Path]] = defaultdict(list)
        self.audio_files: dict[str, list[Path]] = defaultdict(list)
        self.others: list[Path] = []
        for path in walk(root):
            suffix = path.suffix.lower()
            in_audio_folder = path.parent.name.lower() in AUDIO_FOLDERS
            if suffix in AUDIO_SUFFIXES or (in_audio_folder and suffix in VIDEO_SUFFIXES):
                self.audio_files[path.stem].append(path)
            elif suffix in VIDEO_SUFFIXES:
                self.videos[path.stem].append(path)
            else:
                self.others.append(path)

    def video(self, *names: str) -> Path | None:
        """Return the first video with one of the names, .mp4 before other suffixes; None if there is none."""
        return _first(self.videos, names, key=lambda path: (path.suffix.lower() != ".mp4", path))

    def audio(self, *names: str, beside: Path | None = None) -> Path | None:
        """Return the first audio file with one of the names, preferably in or under the folder of ``beside``."""
        folder = beside.parent if beside is not None else self.root
        return _first(self.audio_files, names, key=lambda path: (not path.is_relative_to(folder), path))


def walk(root: Path) -> Iterator[Path]:
    """Yield the files under a folder in the order of their names, except hidden ones."""
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, with or without byte order mark.

    Raises:
        DataError: If the file cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a text file ({error}); copy or download it again") from error


def _first(index: dict[str, list[Path]], names: Iterable[str], key: Callable[[Path], tuple[bool, Path]]) -> Path | None:
    return next((min(index[name], key=key) for name in names if name in index), None)
