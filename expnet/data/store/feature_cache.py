"""Reading speech features of the clips of a track store, which are kept in a folder of their own.

``features.json`` records the encoder and the store that the features belong to. Every shard of the store, such as
``00000.safetensors``, has a file of the same name with the ``features`` of its frames, (N, F) float16, memory-mapped.
With disturbed copies, ``features.json`` has ``copies`` (their number, seed and options), and copy k of a shard is the
file ``00000.copy<k>.safetensors``: the ``features`` of the disturbed audio, that ``audio`` itself, (640 N,) int16, and
``silent``, (N,) bool, true where the speech was muted. `expnet.data.feature_extraction` writes all of them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.speech_encoders import FeatureSource
from expnet.data.store.manifest import ManifestRow
from expnet.data.store.shards import decode_audio
from expnet.data.store.track_store import TrackStore
from expnet.errors import DataError

ABOUT = "features.json"
FEATURES, AUDIO, SILENT = "features", "audio", "silent"


def file_name(shard: str, copy: int) -> str:
    """Return the file with the features of a shard: of the original audio for copy 0, else of a disturbed copy."""
    return f"{shard.removesuffix('.safetensors')}.copy{copy}.safetensors" if copy else shard


class FeatureCache:
    """Cached speech features of the clips of a store.

    Args:
        folder: A folder written by `expnet features`.
        store: The store that the features must belong to.

    Attributes:
        source: The encoder.
        copies: Number of disturbed copies of each clip.
        silent_share: Share of the copies with runs of silence.

    Raises:
        DataError: If the folder has no features, features of other clips, or features of some clips only.
    """

    def __init__(self, folder: str | Path, store: TrackStore) -> None:
        self.folder = Path(folder)
        about = read_about(self.folder)
        if about.pop("store") != store.fingerprint():
            raise DataError(
                f"{folder} holds features of other clips than those in {store.files.location}: run 'expnet features' "
                "on that store"
            )
        copies = about.pop("copies", {"count": 0, "silent_share": 0.0})
        self.copies, self.silent_share = int(copies["count"]), float(copies["silent_share"])
        self.source = FeatureSource(**about)
        names = {file_name(row.shard, copy) for row in store.rows for copy in range(self.copies + 1)}
        missing = sorted(name for name in names if not (self.folder / name).is_file())
        if missing:
            raise DataError(
                f"{folder} is incomplete ({missing[0]} is missing); run 'expnet features' again to finish it"
            )
        self._files: dict[str, dict[str, NDArray[Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps out: a spawned worker opens its own."""
        return {**self.__dict__, "_files": {}}

    def frames(self, shard: str, first: int, count: int, copy: int = 0) -> NDArray[np.float32]:
        """Return the features of ``count`` frames of a shard from ``first`` on, (count, F)."""
        stored = torch.from_numpy(self._arrays(shard, copy)[FEATURES][first : first + count])
        found: NDArray[np.float32] = stored.float().numpy()  # several times as fast as numpy's conversion
        return found

    def read_audio(self, row: ManifestRow, first_frame: int, frames: int, copy: int) -> NDArray[np.float32]:
        """Return the disturbed audio of a range of frames of a clip, limited to the clip, (640 n,)."""
        begin = row.first_frame + min(max(first_frame, 0), row.frames)
        end = row.first_frame + min(max(first_frame + frames, 0), row.frames)
        return decode_audio(self._arrays(row.shard, copy)[AUDIO][begin * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME])

    def silent(self, row: ManifestRow, copy: int) -> NDArray[np.bool_]:
        """Return whether the speech of each frame of a clip, (T,), was muted in a copy."""
        found: NDArray[np.bool_] = self._arrays(row.shard, copy)[SILENT][row.first_frame : row.first_frame + row.frames]
        return found

    def _arrays(self, shard: str, copy: int) -> dict[str, NDArray[Any]]:
        name = file_name(shard, copy)
        if name not in self._files:
            self._files[name] = _open_file(self.folder / name)
        return self._files[name]


def read_about(folder: Path) -> dict[str, Any]:
    """Return the contents of a folder's ``features.json``.

    Raises:
        DataError: If there is no such file, or it cannot be read.
    """
    try:
        return dict(json.loads((folder / ABOUT).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} has no readable speech features ({error}); compute them with 'expnet features STORE'"
        ) from error


def _open_file(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Read as torch tensors, which are views of the memory map; for numpy, safetensors would copy.
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read ({error}); delete it and run 'expnet features' again") from error
