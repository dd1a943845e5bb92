"""What the systems were given for each clip, where the user names it: the driving audio and the portrait."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expnet.config.benchmark import VideoBenchmarkConfig
from expnet.data.corpora.source import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from expnet.errors import DataError

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))
_COLUMNS = ("audio", "portrait")


@dataclass(frozen=True)
class ClipInputs:
    """The files that the systems were given for one clip; None where the user names none.

    Attributes:
        audio: A file with the audio that drives the clip.
        portrait: An image, or a video of which the first frame counts.
    """

    audio: Path | None = None
    portrait: Path | None = None


def find_inputs(config: VideoBenchmarkConfig, clips: Sequence[str]) -> dict[str, ClipInputs]:
    """Find the files of each clip.

    Raises:
        DataError: A folder or the csv file cannot be used, or no clip has a file in a folder that was given.
    """
    named = read_pairs(config.pairs) if config.pairs is not None else {}
    audio = _files_by_clip(config.audio, "audio", AUDIO_SUFFIXES | VIDEO_SUFFIXES, named, clips)
    portraits = _files_by_clip(config.portraits, "portrait", IMAGE_SUFFIXES | VIDEO_SUFFIXES, named, clips)
    return {clip: ClipInputs(audio.get(clip), portraits.get(clip)) for clip in clips}


def read_pairs(path: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
    """Read a csv file with the columns clip, audio and portrait, one of the last two at least.

    Returns:
        The names of the files by clip and column, without suffix.

    Raises:
        DataError: The file cannot be read, lacks a column, or names a clip twice.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            lines = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read as a csv file ({error}); expected columns clip, audio, portrait"
        ) from error
    columns = [name for name in lines[0] if name] if lines else []
    if "clip" not in columns or not set(_COLUMNS) & set(columns):
        raise DataError(
            f"{path} has the columns {', '.join(columns) or '(none)'}; expected clip and one of {', '.join(_COLUMNS)}"
        )
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        clip = _without_suffix(line["clip"])
        if clip in found:
            raise DataError(f"{path} names the clip {clip} twice; leave one line for each clip")
        found[clip] = {name: _without_suffix(line[name]) for name in _COLUMNS if line.get(name)}
    return found


def _files_by_clip(
    folder: str | None,
    what: str,
    suffixes: frozenset[str],
    named: dict[str, dict[str, str]],
    clips: Sequence[str],
) -> dict[str, Path]:
    """Return the file of each clip that has one; nothing without a folder."""
    if folder is None:
        return {}
    files = _find_files(Path(os.path.abspath(os.path.expanduser(folder))), suffixes)
    names = {clip: named.get(clip, {}).get(what, clip) for clip in clips}
    found = {clip: files[name] for clip, name in names.items() if name in files}
    if not found:
        raise DataError(
            f"{folder} has no {what} of any clip: it has {some_names(list(files))}, expected "
            f"{some_names(list(names.values()))}; name the files as the clips, or set pairs=FILE.csv"
        )
    return found


def _find_files(root: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    """Return the files of a folder and its subfolders by their path without suffix."""
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; give a folder of files named as the clips")
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in found:
            raise DataError(f"{root} holds both {found[name].name} and {path.name}, of one name; move one of them away")
        found[name] = path
    if not found:
        raise DataError(f"there is no file in {root} with a suffix such as {', '.join(sorted(suffixes)[:6])}")
    return found


def _without_suffix(name: str) -> str:
    """Return a name as clips are named: below its folder, and without the suffix of a media file."""
    path = Path(name.strip())
    known = path.suffix.lower() in AUDIO_SUFFIXES | IMAGE_SUFFIXES | VIDEO_SUFFIXES
    return (path.with_suffix("") if known else path).as_posix()


def some_names(names: Sequence[str]) -> str:
    """Return the first few names, for a message."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
