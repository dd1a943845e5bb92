"""Any folder of videos, described by ``manifest.csv`` files beside them.

The speaker is taken from the manifest (columns ``file`` and ``speaker`` or ``person``), else from the name of the
folder that holds the video, else from the video's own name.
"""

import csv
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from expnet.data.corpora.source import VIDEO_SUFFIXES, Corpus, SourceVideo, walk
from expnet.data.splits import TEST, TRAIN, VALIDATION
from expnet.errors import DataError
from expnet.io.path_text import path_text

Speakers = str | os.PathLike[str] | Mapping[str, str] | None

MANIFEST_FILE = "manifest.csv"
_SPLIT_NAMES = {"train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "test": TEST}
_SPLIT_NAMES |= {"validation": VALIDATION, "dev": VALIDATION}
_LONGEST_NAME = 160
# Column names of different corpora; the first one that is present and not empty is used.
_SPEAKER_COLUMNS = ("speaker", "person", "actor", "identity")
_LANGUAGE_COLUMNS = ("language", "lang")


def read_folder(root: Path, speakers: Speakers = None) -> Corpus:
    """List the videos under a folder, or a single video, ordered by path.

    Args:
        root: The folder, or the video.
        speakers: Another csv file like ``manifest.csv``, or a mapping from file name to speaker (``*`` for all others).

    Raises:
        DataError: If there is no such folder, or no video in it, or a csv cannot be used.
    """
    if not root.exists():
        raise DataError(f"there is no folder or video at {root}; give the path of your videos")
    paths = [path for path in walk(root) if path.suffix.lower() in VIDEO_SUFFIXES] if root.is_dir() else [root]
    videos = describe(paths, root, speakers)
    if not videos:
        raise DataError(f"there is no video in {root}; expected files such as .mp4, .mov, .mkv, .webm or .avi")
    return Corpus(videos, [])


def describe(paths: Iterable[Path], root: Path, speakers: Speakers) -> list[SourceVideo]:
    """Combine what manifests, folder names and file names say about files, including files that only manifests name.

    Args:
        paths: The files.
        root: Folder of the corpus, or its only file.
        speakers: As for :func:`read_folder`.
    """
    base = root if root.is_dir() else root.parent
    known = sorted(paths)
    described = _read_manifests(known, base)
    names: Mapping[str, str] = {}
    if isinstance(speakers, Mapping):
        names = speakers
    elif speakers is not None:
        described.update(read_manifest_file(Path(speakers), base))
    if root.is_dir():
        known = sorted({*known, *described})  # videos that a manifest lists but that are missing get reported
    ids = _clip_ids(known, base)
    return [_describe(path, ids[path], base, described.get(path, {}), names) for path in known]


def _read_manifests(paths: list[Path], base: Path) -> dict[Path, dict[str, str]]:
    """Read the manifests beside the videos and in the folder of the corpus."""
    described: dict[Path, dict[str, str]] = {}
    for folder in sorted({base, *(path.parent for path in paths)}):
        if (folder / MANIFEST_FILE).is_file():
            described.update(read_manifest_file(folder / MANIFEST_FILE, folder))
    return described


def read_manifest_file(path: Path, base: Path) -> dict[Path, dict[str, str]]:
    """Return the rows of a csv file by the video that they describe, with paths relative to ``base``."""
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
    """Name each video by its path, with underscores for slashes; the suffix is added only to tell two apart."""
    ids: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        relative = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
        name = path_text("_".join(relative.with_suffix("").parts)).lstrip(".") or "clip"
        if len(name.encode()) > _LONGEST_NAME:  # the name becomes a file name
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
    """Combine what is known about a video."""
    nested = path.parent != base and path.is_relative_to(base)
    guess = path.parent.name if nested else path.stem
    listed = speaker_of(row)
    level = row.get("level", "").strip()
    return SourceVideo(
        path=path,
        clip_id=clip_id,
        speaker=speakers.get(path.name) or listed or speakers.get("*") or guess,
        corpus=row.get("corpus", "").strip() or base.name,
        split=_SPLIT_NAMES.get(row.get("split", "").strip().lower(), ""),
        emotion=row.get("emotion", "").strip().lower(),
        level=int(level) if level.isdigit() else 0,
        fps=_number(row.get("fps", "")),
        language=next((row[name].strip() for name in _LANGUAGE_COLUMNS if row.get(name, "").strip()), ""),
    )


def speaker_of(row: Mapping[str, str]) -> str:
    """Return the speaker in a row of a manifest, or an empty string."""
    return next((row[name].strip() for name in _SPEAKER_COLUMNS if row.get(name, "").strip()), "")


def _number(text: str) -> float:
    """Return a positive number, or 0 for anything else."""
    try:
        return max(float(text), 0.0)
    except ValueError:
        return 0.0
