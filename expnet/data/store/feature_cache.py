"""Speech features of the clips of a track store, computed once and kept in a folder beside it.

``features.json`` says where they come from and to which store they belong; each shard of the store has a file of the
same name, (N, F) float16 ``features`` of its frames, memory-mapped. A file appears whole or not at all, so an
interrupted run goes on where it was.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from expnet.audio.speech_encoder import FeatureSource, SpeechEncoder
from expnet.data.store.manifest import ClipRow
from expnet.data.store.storage import FolderFiles
from expnet.data.store.track_store import TrackStore
from expnet.errors import DataError

ABOUT = "features.json"
_KEY = "features"


def default_folder(store: str, encoder: str) -> Path:
    """Where the features of a store lie unless told otherwise: ``STORE-hubert``."""
    return Path(f"{str(store).rstrip('/')}-{encoder}")


def cache_features(
    store: TrackStore,
    folder: Path,
    encoder: SpeechEncoder,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Compute the features of all usable clips of a store, as far as they are not there.

    Args:
        store: The store.
        folder: Where they go.
        encoder: Turns sound into features.
        progress: Told how many clips of how many are done; None for nobody.

    Returns:
        The folder.

    Raises:
        DataError: If the folder holds the features of other clips, or of another encoder, or something else.
    """
    files = FolderFiles(str(folder))
    about = {"store": store.fingerprint(), **encoder.source.as_dict()}
    if files.exists(ABOUT):
        found = _read_about(folder)
        if found != about:
            raise DataError(f"{folder} holds features of other clips or another encoder; give another --output")
    elif folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is no folder of features (it has no {ABOUT}); give another --output")
    files.write(ABOUT, json.dumps(about, indent=1).encode())
    shards: dict[str, list[ClipRow]] = {}
    for row in store.rows:
        shards.setdefault(row.shard, []).append(row)
    done = 0
    for name, rows in shards.items():
        if not (folder / name).is_file():
            features = np.zeros((max(row.first_frame + row.frames for row in rows), encoder.source.size), np.float16)
            for row in rows:
                part = slice(row.first_frame, row.first_frame + row.frames)
                features[part] = encoder(store.read_audio(row, 0, row.frames), row.frames)
                done += 1
                if progress is not None:
                    progress(done, len(store))
            _save(folder / name, features)
        else:
            done += len(rows)
    return folder


class FeatureCache:
    """The features of a store's clips.

    Args:
        folder: What `cache_features` wrote.
        store: The store that they have to belong to.

    Raises:
        DataError: If there are none, or those of other clips, or not of all.
    """

    def __init__(self, folder: str | Path, store: TrackStore) -> None:
        self.folder = Path(folder)
        about = _read_about(self.folder)
        if about.pop("store") != store.fingerprint():
            raise DataError(
                f"{folder} holds the features of other clips than those in {store.files.location}: run 'expnet "
                "features' on that store"
            )
        self.source = FeatureSource(**about)
        missing = sorted({row.shard for row in store.rows if not (self.folder / row.shard).is_file()})
        if missing:
            raise DataError(
                f"{folder} is not complete (it lacks {missing[0]}): run 'expnet features' again to finish it"
            )
        self._shards: dict[str, NDArray[np.float16]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """A spawned worker maps the files again for itself."""
        return {**self.__dict__, "_shards": {}}

    def frames(self, shard: str, first: int, count: int) -> NDArray[np.float32]:
        """Features of ``count`` frames of a shard from ``first`` on, (count, F)."""
        if shard not in self._shards:
            self._shards[shard] = _map(self.folder / shard)
        return self._shards[shard][first : first + count].astype(np.float32)


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / ABOUT).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} has no speech features that can be read ({error}); 'expnet features STORE' makes them"
        ) from error


def _save(path: Path, features: NDArray[np.float16]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file({_KEY: features}, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _map(path: Path) -> NDArray[np.float16]:
    try:
        # As a torch tensor, which is a view of the map; safetensors would copy an array for numpy.
        with safe_open(path, framework="pt") as file:
            return np.asarray(file.get_tensor(_KEY).numpy())
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read ({error}); remove it and run 'expnet features' again") from error
