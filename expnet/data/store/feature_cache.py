"""Speech features of the clips of a track store, computed once and kept in a folder of their own.

``features.json`` records the encoder and the store that the features belong to. Every shard of the store has a file of
the same name with the ``features`` of its frames, (N, F) float16, memory-mapped. Files are written atomically, so an
interrupted run resumes with the first shard that is missing.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from expnet.audio.speech_encoders import FeatureSource, SpeechEncoder
from expnet.data.store.folder_storage import FolderFiles
from expnet.data.store.manifest import ManifestRow
from expnet.data.store.track_store import TrackStore
from expnet.errors import DataError
from expnet.io.atomic import atomic_path
from expnet.io.machine_faults import machine_faults_reported

ABOUT = "features.json"
_FEATURES = "features"


def default_folder(store: str, encoder: str) -> Path:
    """Return the default folder for the features of a store: ``STORE-hubert``."""
    return Path(f"{str(store).rstrip('/')}-{encoder}")


def cache_features(
    store: TrackStore,
    folder: Path,
    encoder: SpeechEncoder,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Compute the features of all usable clips of a store that are not in the folder yet.

    Args:
        store: The track store.
        folder: The folder to write to.
        encoder: The encoder that turns audio into features.
        progress: Called after each clip with the number of clips done and the number of all clips.

    Returns:
        The folder.

    Raises:
        DataError: If the folder holds features of other clips or of another encoder, or anything else.
        MachineError: If the machine is at fault, such as a full disk; the next run continues.
    """
    files = FolderFiles(str(folder))
    about = {"store": store.fingerprint(), **encoder.source.as_dict()}
    if files.exists(ABOUT):
        found = _read_about(folder)
        if found != about:
            raise DataError(f"{folder} holds features of other clips or another encoder; give another --output")
    elif folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not a folder of features (it has no {ABOUT}); give another --output")
    with machine_faults_reported():
        files.write(ABOUT, json.dumps(about, indent=1).encode())
    shards: dict[str, list[ManifestRow]] = {}
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
            with machine_faults_reported(), atomic_path(folder / name) as partial:
                save_file({_FEATURES: features}, partial)
        else:
            done += len(rows)
    return folder


class FeatureCache:
    """Cached speech features of the clips of a store.

    Args:
        folder: A folder written by `cache_features`.
        store: The store that the features must belong to.

    Raises:
        DataError: If the folder has no features, features of other clips, or features of some clips only.
    """

    def __init__(self, folder: str | Path, store: TrackStore) -> None:
        self.folder = Path(folder)
        about = _read_about(self.folder)
        if about.pop("store") != store.fingerprint():
            raise DataError(
                f"{folder} holds features of other clips than those in {store.files.location}: run 'expnet features' "
                "on that store"
            )
        self.source = FeatureSource(**about)
        missing = sorted({row.shard for row in store.rows if not (self.folder / row.shard).is_file()})
        if missing:
            raise DataError(
                f"{folder} is incomplete ({missing[0]} is missing); run 'expnet features' again to finish it"
            )
        self._shards: dict[str, NDArray[np.float16]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps out: a spawned worker opens its own."""
        return {**self.__dict__, "_shards": {}}

    def frames(self, shard: str, first: int, count: int) -> NDArray[np.float32]:
        """Return the features of ``count`` frames of a shard from ``first`` on, (count, F)."""
        if shard not in self._shards:
            self._shards[shard] = _open_features(self.folder / shard)
        return self._shards[shard][first : first + count].astype(np.float32)


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / ABOUT).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} has no readable speech features ({error}); compute them with 'expnet features STORE'"
        ) from error


def _open_features(path: Path) -> NDArray[np.float16]:
    try:
        # Read as a torch tensor, which is a view of the memory map; for numpy, safetensors would copy.
        with safe_open(path, framework="pt") as file:
            return np.asarray(file.get_tensor(_FEATURES).numpy())
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read ({error}); delete it and run 'expnet features' again") from error
