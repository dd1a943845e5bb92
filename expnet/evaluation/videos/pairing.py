"""Which videos belong together: those with the same path below their folders, whatever their suffix.

Without a paired reference, the videos of a set of real clips are clips of their own, which no system has.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from expnet.config.benchmark import GROUND_TRUTH, VideoBenchmarkConfig
from expnet.data.corpora import read_corpus
from expnet.data.corpora.test_lists import listed, read_test_list
from expnet.data.even_spacing import evenly_spaced
from expnet.errors import DataError, InputError
from expnet.evaluation.videos.clip_inputs import ClipInputs, find_inputs, some_names

SET_PREFIX = "reference_set/"
"""Begins the names of real videos that are not paired."""


@dataclass(frozen=True)
class PairedClip:
    """One clip, with the video that each system has of it.

    Attributes:
        clip_id: The path of the video below its folder, without suffix.
        speaker: The person who speaks.
        paths: The file of each system, the real video first where there is one; None where a system lacks the clip.
        inputs: The files that the systems were given for this clip, where the user names them.
        start: The second at which the clip begins in its files, for a part of a long video.
        end: The second at which it ends; None for the end of the files, or where the protocol cuts them off.
    """

    clip_id: str
    speaker: str
    paths: Mapping[str, Path | None]
    inputs: ClipInputs = field(default_factory=ClipInputs)
    start: float = 0.0
    end: float | None = None

    @property
    def reference(self) -> Path | None:
        """The real video."""
        return self.paths.get(GROUND_TRUTH)


@dataclass(frozen=True)
class Pairing:
    """All clips of a benchmark.

    Attributes:
        clips: The clips, ordered by name.
        notes: Which videos were left out.
    """

    clips: tuple[PairedClip, ...]
    notes: tuple[str, ...]


def find_videos(folder: str | os.PathLike[str]) -> dict[str, tuple[Path, str]]:
    """Find the videos of a folder and its subfolders: (path, speaker) by name, ``a/b`` for ``folder/a/b.mp4``.

    Raises:
        DataError: The folder does not exist, holds no video, or holds two videos of one name.
    """
    root = Path(os.path.abspath(os.path.expanduser(folder)))
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; give a folder of videos")
    found: dict[str, tuple[Path, str]] = {}
    # The folder may hold the manifest of a whole corpus but only some of its videos.
    for video in (video for video in read_corpus(root) if video.path.is_file()):
        name = video.path.relative_to(root).with_suffix("").as_posix()
        if name in found:
            first, second = found[name][0].name, video.path.name
            raise DataError(f"{root} holds both {first} and {second}, which name the same clip; move one of them away")
        found[name] = (video.path, video.speaker)
    if not found:
        raise DataError(f"there is no video in {root}; expected files such as .mp4, .mov, .mkv, .webm or .avi")
    return found


def pair_videos(config: VideoBenchmarkConfig) -> Pairing:
    """List the clips: those of the reference folder or, without a reference, those of any system.

    Raises:
        DataError: A folder cannot be used, or a system has no video with a name of the reference.
    """
    folders = {name: find_videos(folder) for name, folder in config.systems.items()}
    reference = find_videos(config.reference) if config.reference is not None else None
    names = sorted(reference if reference is not None else {name for videos in folders.values() for name in videos})
    notes = []
    for system, videos in folders.items():
        shared = [name for name in names if name in videos]
        if not shared:
            raise DataError(
                f"systems.{system}={config.systems[system]} has no video with the name of a reference video: it has "
                f"{some_names(list(videos))}, the reference has {some_names(names)}; give the files matching names"
            )
        beyond = [name for name in videos if name not in set(names)]
        if beyond:
            notes.append(
                f"Not scored because the reference lacks them: {len(beyond)} of the videos of {system} "
                f"({some_names(beyond)})."
            )
    if config.clips is not None:
        names, missing = listed(names, read_test_list(config.clips))
        if not names:
            raise DataError(
                f"clips={config.clips} names no clip of these folders: it names {some_names(missing)}; give the files "
                "the names of the list"
            )
        if missing:
            notes.append(f"{len(missing)} clips of the list {config.clips} are missing ({some_names(missing)}).")
    chosen = evenly_spaced(names, config.limit or None)
    if reference is not None:
        folders = {GROUND_TRUTH: reference, **folders}
    inputs = find_inputs(config, chosen)
    clips = [_pair(name, folders, inputs[name]) for name in chosen]
    return Pairing((*_reference_set(config), *clips), tuple(notes))


def _reference_set(config: VideoBenchmarkConfig) -> list[PairedClip]:
    """Return the real videos that are not paired, which have names that no clip of a system has."""
    if config.reference_set is None:
        return []
    videos = find_videos(config.reference_set)
    chosen = evenly_spaced(sorted(videos), config.limit or None)
    return [PairedClip(f"{SET_PREFIX}{name}", videos[name][1], {GROUND_TRUTH: videos[name][0]}) for name in chosen]


def identity(path: Path | None) -> tuple[str, int, int] | None:
    """Return path, size and modification time of a file, which stay equal as long as it is not touched.

    Raises:
        InputError: The file no longer exists.
    """
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the folder.") from error
    return str(path), status.st_size, status.st_mtime_ns


def _pair(name: str, folders: Mapping[str, Mapping[str, tuple[Path, str]]], inputs: ClipInputs) -> PairedClip:
    """Pair one clip. The speaker is that of the reference, else of the first system that has the clip."""
    speaker = next(videos[name][1] for videos in folders.values() if name in videos)
    paths = {system: videos[name][0] if name in videos else None for system, videos in folders.items()}
    return PairedClip(name, speaker, paths, inputs)
