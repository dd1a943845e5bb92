"""Folds of speakers: who is trained on, who is scored, and the stores and clips of each."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from expnet.data.store.manifest import ManifestRow, read_manifest, write_manifest
from expnet.data.store.track_store import TrackStore
from expnet.errors import InputError
from expnet.evaluation.store.clips import Clip

VALIDATION_SHARE = 10  # one training speaker in so many is validated on
USUAL_EYE = 0.3  # aspect ratio of an open eye, where a store does not say


def bucket(name: str, count: int) -> int:
    """A number below count that depends on the name alone."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % count


def divide(speakers: set[str], folds: int) -> list[set[str]]:
    """Divide people into folds of equal size, plus or minus one, in an order that their names alone decide."""
    if not 2 <= folds <= len(speakers):
        raise InputError(f"{len(speakers)} people cannot be divided into {folds} folds: give 2 to {len(speakers)}.")
    ordered = sorted(speakers, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return [set(ordered[number::folds]) for number in range(folds)]


def check_names(stores: Sequence[Path]) -> None:
    """Refuse stores in which one video is under two names: a model would be scored on what it has seen."""
    names: dict[str, str] = {}
    for store in stores:
        for row in TrackStore(store).rows:
            other = names.setdefault(row.sha256, row.speaker) if row.sha256 else row.speaker
            if other != row.speaker:
                raise InputError(
                    f"{row.clip_id} in {store} is the video of a clip of {other}, but its speaker is {row.speaker}: "
                    "give both one name."
                )


def fold_view(store: Path, folder: Path, tested: set[str], excluded: Sequence[str] = ()) -> Path:
    """Make a store that shares the shards of another, with the given people as its test split and without others."""
    rows, shards = read_manifest(store)
    folder.mkdir(parents=True)
    (folder / "shards").symlink_to((store / "shards").resolve())
    split = {True: "test", False: "train"}
    divided = [
        dataclasses.replace(row, split="validation")
        if row.speaker not in tested and bucket(row.speaker, VALIDATION_SHARE) == 0
        else dataclasses.replace(row, split=split[row.speaker in tested])
        for row in rows
        if row.speaker not in excluded
    ]
    write_manifest(folder, divided, shards)
    return folder


def read_clip(store: TrackStore, row: ManifestRow) -> Clip:
    """One clip as systems see it."""
    return Clip(store.read(row.clip_id), row.eye_open or USUAL_EYE, row.clip_id)


def read_split(stores: Sequence[Path], split: str) -> list[Clip]:
    """The clips of one side of a fold; their arrays are read when they are looked at."""
    opened = [TrackStore(store) for store in stores]
    return [read_clip(store, row) for store in opened for row in store.rows if row.split == split]
