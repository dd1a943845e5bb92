"""Folds of speakers: who is trained on, who is tested on, and the stores and clips of each."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from expnet.data.store.feature_cache import ABOUT, FeatureCache
from expnet.data.store.manifest import ManifestRow, read_manifest, write_manifest
from expnet.data.store.track_store import TrackStore
from expnet.errors import InputError
from expnet.evaluation.store.clips import Clip

VALIDATION_SHARE = 10  # one training speaker in this many is used for validation
USUAL_EYE = 0.3  # aspect ratio of an open eye where a store does not give one


@dataclass(frozen=True)
class FoldView:
    """The stores of one fold.

    Attributes:
        people: Speakers of the fold, who are tested.
        stores: Views of the stores, see `fold_view`; the first is the scored one.
        features: Folder of each store's speech features; empty for none. A view has the shards of its store, so the
            features are found by the same name and frames, and only those of a split's clips are read.
    """

    people: set[str]
    stores: list[Path]
    features: list[Path]


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


def check_features(stores: Sequence[Path], folders: Sequence[Path]) -> list[str]:
    """Check that each folder has the speech features of its store, all of one encoder.

    Returns:
        The sha256 of each folder's description, which names its encoder and its store.

    Raises:
        InputError: There is not one folder for each store, or they are of different encoders.
        DataError: A folder has no features, or those of another store.
    """
    if len(folders) not in (0, len(stores)):
        raise InputError(f"{len(folders)} folders of features were given for {len(stores)} stores: give one for each.")
    pairs = zip(stores, folders, strict=False)
    caches = [FeatureCache(folder, TrackStore(store)) for store, folder in pairs]
    for cache in caches[1:]:
        if cache.source != caches[0].source:
            first, other = (f"{it.folder} ({it.source.describe()})" for it in (caches[0], cache))
            raise InputError(f"{first} and {other} are features of different encoders: give those of one.")
    return [hashlib.sha256((folder / ABOUT).read_bytes()).hexdigest() for folder in folders]


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


def read_clip(store: TrackStore, row: ManifestRow, cache: FeatureCache | None = None) -> Clip:
    """Read one clip in the form that systems take, with its speech features if there is a cache."""
    features = None if cache is None else torch.from_numpy(cache.frames(row.shard, row.first_frame, row.frames))
    return Clip(store.read(row.clip_id), row.eye_open or USUAL_EYE, row.clip_id, features=features)


def read_split(stores: Sequence[Path], split: str, features: Sequence[Path] = ()) -> list[Clip]:
    """The clips of one split of a fold; the arrays of their tracks are memory-mapped and read on access.

    Args:
        stores: Views of the stores.
        split: train, validation or test.
        features: Folder of each store's speech features; empty for clips without them.
    """
    opened = [TrackStore(store) for store in stores]
    caches = [FeatureCache(*pair) for pair in zip(features, opened, strict=True)] if features else [None] * len(opened)
    return [
        read_clip(store, row, cache)
        for store, cache in zip(opened, caches, strict=True)
        for row in store.rows
        if row.split == split
    ]
