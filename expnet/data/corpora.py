"""Which videos a corpus has, and what is known about each: speaker, emotion, language, split.

``folder`` reads any folder of videos. The speaker comes from a ``manifest.csv`` beside the videos (columns ``file``
and ``speaker`` or ``person``), else from the name of the folder that a video lies in, else from the file's own name.
"""

import csv
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expnet.data.splits import TEST, TRAIN, VALIDATION
from expnet.errors import ConfigError, DataError

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv")
) | {".ts", ".webm", ".wmv"}
MANIFEST_FILE = "manifest.csv"
_SPLIT_NAMES = {"train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "test": TEST}
_SPLIT_NAMES |= {"validation": VALIDATION, "dev": VALIDATION}
_LONGEST_NAME = 160
# Names by which corpora call their columns; the first that is there and filled counts.
_SPEAKER_COLUMNS = ("speaker", "person", "actor", "identity")
_LANGUAGE_COLUMNS = ("language", "lang")


@dataclass(frozen=True)
class SourceVideo:
    """One video to be tracked.

    Args:
        path: The file.
        clip_id: Name of the clip that it becomes.
        speaker: Who speaks.
        corpus: Name of the corpus.
        split: The corpus's own split, or empty.
        emotion: Lower-case name, or empty.
        level: Intensity of the emotion, 0 where unknown.
        language: Language code, or empty.
        audio: File with the sound, where it is not in the video.
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


def read_corpus(
    root: str | os.PathLike[str],
    *,
    corpus: str = "folder",
    speakers: str | os.PathLike[str] | Mapping[str, str] | None = None,
) -> list[SourceVideo]:
    """List the videos of a corpus, ordered by path.

    Args:
        root: The corpus's folder, or a single video.
        corpus: Its layout; ``folder`` for any folder.
        speakers: A csv like ``manifest.csv`` that lies elsewhere, or speakers by file name (``*`` for all others).

    Raises:
        DataError: If there is no such folder, or no video in it, or the csv cannot be used.
        ConfigError: If the layout is not known.
    """
    if corpus != "folder":
        raise ConfigError(f"corpus {corpus!r} is not known; expected folder")
    root = Path(os.path.abspath(root))
    if not root.exists():
        raise DataError(f"there is no folder or video at {root}; give the path of your videos")
    base = root if root.is_dir() else root.parent
    paths = sorted(_find_videos(root)) if root.is_dir() else [root]
    described = _read_manifests(paths, base)
    names: Mapping[str, str] = {}
    if isinstance(speakers, Mapping):
        names = speakers
    elif speakers is not None:
        described.update(_read_manifest(Path(speakers), base))
    if root.is_dir():
        paths = sorted({*paths, *described})  # a video that a manifest promises and that is not there is reported
    if not paths:
        raise DataError(f"there is no video in {root}; expected files such as .mp4, .mov, .mkv, .webm or .avi")
    ids = _clip_ids(paths, base)
    return [_describe(path, ids[path], base, described.get(path, {}), names) for path in paths]


def _find_videos(root: Path) -> list[Path]:
    """Video files under a folder, hidden ones aside; links to folders are not followed."""
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found += [
            Path(folder, name)
            for name in files
            if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")
        ]
    return found


def _read_manifests(paths: list[Path], base: Path) -> dict[Path, dict[str, str]]:
    """Rows of the manifests that lie beside videos or in the corpus's folder."""
    described: dict[Path, dict[str, str]] = {}
    for folder in sorted({base, *(path.parent for path in paths)}):
        if (folder / MANIFEST_FILE).is_file():
            described.update(_read_manifest(folder / MANIFEST_FILE, folder))
    return described


def _read_manifest(path: Path, base: Path) -> dict[Path, dict[str, str]]:
    """Rows of a csv by the video they are about, paths taken from ``base``."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [
                {key.strip().lower(): value or "" for key, value in row.items() if key}
                for row in csv.DictReader(stream)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a csv file ({error}); expected columns file and speaker") from error
    columns = set(rows[0]) if rows else set()
    if "file" not in columns or not columns & set(_SPEAKER_COLUMNS):
        raise DataError(
            f"{path} has the columns {', '.join(sorted(columns)) or '(none)'}; "
            f"expected file and one of {', '.join(_SPEAKER_COLUMNS)}"
        )
    return {Path(os.path.normpath(base / row["file"].strip())): row for row in rows if row["file"].strip()}


def _clip_ids(paths: list[Path], base: Path) -> dict[Path, str]:
    """A name for each video: its path with joints for slashes; the suffix only where it is needed to tell two apart."""
    ids: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        relative = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
        name = "_".join(relative.with_suffix("").parts).lstrip(".") or "clip"
        if len(name.encode()) > _LONGEST_NAME:  # it becomes the name of a file
            name = f"{name[: _LONGEST_NAME // 4]}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        if name in taken:
            name = f"{name}_{path.suffix.lstrip('.').lower()}"
        number = 2
        while name in taken:
            name, number = f"{name}_{number}", number + 1
        taken.add(name)
        ids[path] = name
    return ids


def _describe(path: Path, clip_id: str, base: Path, row: Mapping[str, str], speakers: Mapping[str, str]) -> SourceVideo:
    """Put together what is known about a video."""
    nested = path.parent != base and path.is_relative_to(base)
    guess = path.parent.name if nested else path.stem
    listed = next((row[name].strip() for name in _SPEAKER_COLUMNS if row.get(name, "").strip()), "")
    level = row.get("level", "").strip()
    return SourceVideo(
        path=path,
        clip_id=clip_id,
        speaker=speakers.get(path.name) or listed or speakers.get("*") or guess,
        corpus=row.get("corpus", "").strip() or base.name,
        split=_SPLIT_NAMES.get(row.get("split", "").strip().lower(), ""),
        emotion=row.get("emotion", "").strip().lower(),
        level=int(level) if level.isdigit() else 0,
        language=next((row[name].strip() for name in _LANGUAGE_COLUMNS if row.get(name, "").strip()), ""),
    )
