"""Folds of speakers: who is trained on, who is tested on, and the stores and clips of each."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from expnet.data.store.manifest import ManifestRow, read_manifest, write_manifest
from expnet.data.store.track_store import TrackStore
from expnet.errors import InputError
from expnet.evaluation.store.clips import Clip

VALIDATION_SHARE = 10  # one training speaker in this many is used for validation
USUAL_EYE = 0.3  # aspect ratio of an open eye where a store does not give one


def bucket(name: str, count: int) -> int:
    """A number below ``count`` that depends only on the name."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % count


def divide(speakers: set[str], folds: int) -> list[set[str]]:
    """Divide speakers into folds whose sizes differ by at most one, in an order that depends only on their names."""
    if not 2 <= folds <= len(speakers):
        raise InputError(f"{len(speakers)} people cannot be divided into {folds} folds: give 2 to {len(speakers)}.")
    ordered = sorted(speakers, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return [set(ordered[number::folds]) for number in range(folds)]


def check_names(stores: Sequence[Path]) -> None:
    """Refuse stores that contain one video under two speakers: a model would be tested on what it was trained on."""
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
    """Make a store on the shards of another, with the given speakers as its test split and others excluded."""
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
    """Read one clip in the form that systems take."""
    return Clip(store.read(row.clip_id), row.eye_open or USUAL_EYE, row.clip_id)


def read_split(stores: Sequence[Path], split: str) -> list[Clip]:
    """The clips of one split of a fold; their arrays are memory-mapped and read on access."""
    opened = [TrackStore(store) for store in stores]
    return [read_clip(store, row) for store in opened for row in store.rows if row.split == split]
