"""Computing speech features of the clips of a track store, and of disturbed copies of their audio.

The files are those of `expnet.data.store.feature_cache`. They are written atomically, so an interrupted run resumes
with the first file that is missing.
"""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from expnet.audio.speech_encoders import SpeechEncoder
from expnet.data.disturbed_copies import CopyMaker, CopyRecipe
from expnet.data.preprocess.isolated_workers import WorkerDiedError, isolated_map
from expnet.data.store.feature_cache import ABOUT, AUDIO, FEATURES, SILENT, file_name, read_about
from expnet.data.store.folder_storage import FolderFiles
from expnet.data.store.manifest import ManifestRow
from expnet.data.store.shards import decode_audio, encode_audio
from expnet.data.store.track_store import TrackStore
from expnet.errors import DataError, MachineError
from expnet.io.atomic import atomic_path
from expnet.io.launcher import available_cores
from expnet.io.machine_faults import machine_faults_reported

Arrays = dict[str, NDArray[Any]]
Task = tuple[str, int]
"""A clip's name, and the number of the copy, 0 for the original."""


def default_folder(store: str, encoder: str) -> Path:
    """Return the default folder for the features of a store: ``STORE-hubert``, for a URL in the current folder."""
    location = str(store).rstrip("/")
    return Path(f"{location.rpartition('/')[2] if '://' in location else location}-{encoder}")


def cache_features(
    store: TrackStore,
    folder: Path,
    encoder: SpeechEncoder,
    *,
    copies: CopyRecipe | None = None,
    workers: int = 1,
    load: Callable[[], SpeechEncoder] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Compute the features of all usable clips of a store that are not in the folder yet.

    Args:
        store: The track store.
        folder: The folder to write to.
        encoder: The encoder that turns audio into features.
        copies: Disturbed copies to make of each clip; those that a folder has already are kept.
        workers: Number of processes; 1 computes in the calling process.
        load: Loads the same encoder in another process, for several workers; it must be importable there.
        progress: Called after each clip and copy with the number done and the number of all.

    Returns:
        The folder.

    Raises:
        DataError: If the folder holds features of other clips or of another encoder, other copies, or anything else.
        MachineError: If the machine is at fault, such as a full disk; the next run continues.
    """
    copies = _describe(folder, {"store": store.fingerprint(), **encoder.source.as_dict()}, copies)
    files = _missing_files(store, folder, 0 if copies is None else copies.count)
    tasks = [(row.clip_id, file.copy) for file in files for row in file.rows]
    everything = len(store) * (1 if copies is None else copies.count + 1)
    done = everything - len(tasks)
    file_of = {(row.clip_id, file.copy): file for file in files for row in file.rows}
    if workers > 1 and load is not None:
        make = partial(_open_worker, store, load, copies, workers)
        results = isolated_map(make, tasks, workers)
    else:
        results = isolated_map(lambda: ClipFeatures(store, encoder, copies), tasks, 0)
    with closing(results):
        for task, result in results:
            if isinstance(result, WorkerDiedError):
                raise MachineError(
                    f"the process that computed the features of {task[0]} died {result.tries} times, probably for want "
                    "of memory; run 'expnet features' again with fewer --workers"
                ) from result
            if isinstance(result, Exception):
                raise result
            file_of[task].add(store.row(task[0]), result)
            done += 1
            if progress is not None:
                progress(done, everything)
    return folder


class ClipFeatures:
    """Computes the arrays of one clip, or of a disturbed copy of it.

    Args:
        store: The track store.
        encoder: The encoder.
        copies: Recipe of the copies; None where only originals are asked for.
    """

    def __init__(self, store: TrackStore, encoder: SpeechEncoder, copies: CopyRecipe | None) -> None:
        self.store, self.encoder = store, encoder
        self._maker = None if copies is None else CopyMaker(store, copies)

    def __call__(self, task: Task) -> Arrays:
        """Return the arrays of a clip (its name, number of the copy)."""
        row, copy = self.store.row(task[0]), task[1]
        if not copy:
            samples = self.store.read_audio(row, 0, row.frames)
            return {FEATURES: self.encoder(samples, row.frames).astype(np.float16)}
        assert self._maker is not None
        made = self._maker(row, copy)
        audio = encode_audio(made.samples)
        # The encoder hears exactly what is stored, which the mel spectrogram is computed from.
        features = self.encoder(decode_audio(audio), row.frames).astype(np.float16)
        return {FEATURES: features, AUDIO: audio, SILENT: made.silent}


class _File:
    """A file that is missing; it is written when the arrays of all of its clips are there.

    Args:
        path: The file.
        rows: Clips of its shard.
        copy: Number of the copy, 0 for the originals.
    """

    def __init__(self, path: Path, rows: list[ManifestRow], copy: int) -> None:
        self.path, self.rows, self.copy = path, rows, copy
        self._arrays: Arrays = {}
        self._left = {row.clip_id for row in rows}

    def add(self, row: ManifestRow, arrays: Arrays) -> None:
        """Put the arrays of a clip in their place, and write the file after the last clip."""
        frames = max(row.first_frame + row.frames for row in self.rows)
        for name, array in arrays.items():
            if name not in self._arrays:
                size = len(array) // row.frames
                self._arrays[name] = np.zeros((frames * size, *array.shape[1:]), array.dtype)
            size = len(array) // row.frames
            first = row.first_frame * size
            self._arrays[name][first : first + len(array)] = array
        self._left.discard(row.clip_id)
        if not self._left:
            with machine_faults_reported(), atomic_path(self.path) as partial_file:
                save_file(self._arrays, partial_file)
            self._arrays = {}


def _missing_files(store: TrackStore, folder: Path, copies: int) -> list[_File]:
    """Return the files that are not in the folder yet, the originals first."""
    shards: dict[str, list[ManifestRow]] = {}
    for row in store.rows:
        shards.setdefault(row.shard, []).append(row)
    files = [
        _File(folder / file_name(shard, copy), rows, copy)
        for copy in range(copies + 1)
        for shard, rows in shards.items()
    ]
    return [file for file in files if not file.path.is_file()]


def _open_worker(
    store: TrackStore, load: Callable[[], SpeechEncoder], copies: CopyRecipe | None, workers: int
) -> ClipFeatures:
    torch.set_num_threads(max(available_cores() // workers, 1))
    return ClipFeatures(store, load(), copies)


def _describe(folder: Path, about: dict[str, Any], copies: CopyRecipe | None) -> CopyRecipe | None:
    """Write what the folder shall hold, unless it holds something else; return the copies that it shall have."""
    files = FolderFiles(str(folder))
    if files.exists(ABOUT):
        found = read_about(folder)
        before = CopyRecipe.from_dict(found.pop("copies")) if "copies" in found else None
        if found != about:
            raise DataError(f"{folder} holds features of other clips or another encoder; give another --output")
        if before is not None and copies is not None and replace(before, count=copies.count) != copies:
            raise DataError(f"{folder} has copies with another seed or other options; give another --output")
        if before is not None:
            copies = replace(before, count=max(before.count, 0 if copies is None else copies.count))
    elif folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not a folder of features (it has no {ABOUT}); give another --output")
    if copies is not None:
        about = {**about, "copies": copies.as_dict()}
    with machine_faults_reported():
        files.write(ABOUT, json.dumps(about, indent=1).encode())
    return copies
