"""Shards: the arrays of many clips, concatenated, in one safetensors file.

A shard holds one array of each kind for all of its clips, so opening it takes the same time for any number of clips,
and a window of a clip is one contiguous piece of each array. Frame arrays are concatenated along time, ``audio`` with
640 samples per frame; ``identity`` and ``crop`` have one row per clip; phonemes are JSON bytes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.speech_synthesis import Phoneme
from expnet.data.store.page_advice import expect_random_reads, prefetch
from expnet.data.store.storage import ShardInfo
from expnet.data.store.track import Track
from expnet.errors import DataError

Arrays = dict[str, NDArray[Any]]

FRAME_ARRAYS = ("expression", "rotation", "translation", "landmarks", "valid")
CLIP_ARRAYS = ("identity", "crop", "phoneme_end")
_ARRAYS = (*FRAME_ARRAYS, *CLIP_ARRAYS, "audio", "phonemes")
INT16_SCALE = 32768.0
"""Audio is stored as 16-bit integers; with this scale, 16-bit recordings are stored exactly."""
_INT16_MAX = 32767


def track_to_arrays(track: Track) -> Arrays:
    """Return the arrays of a shard that holds only this track."""
    coefficients = track.coefficients
    phonemes = json.dumps([[phoneme.symbol, phoneme.start, phoneme.end] for phoneme in track.phonemes])
    encoded = np.frombuffer(phonemes.encode() if track.phonemes else b"", dtype=np.uint8)
    identity = np.zeros(0, np.float32) if coefficients.identity is None else coefficients.identity
    crop = np.full(3, np.nan) if coefficients.crop is None else coefficients.crop
    return {
        "expression": coefficients.expression,
        "rotation": coefficients.rotation,
        "translation": coefficients.translation,
        "landmarks": np.asarray(track.landmarks, np.float32),
        "valid": np.asarray(track.valid, np.bool_),
        "audio": encode_audio(track.audio),
        "identity": identity[None],
        "crop": np.asarray(crop, np.float64)[None],
        "phonemes": encoded,
        "phoneme_end": np.array([len(encoded)], np.int64),
    }


def join_arrays(clips: Sequence[Arrays]) -> Arrays:
    """Join the arrays of several clips into those of one shard."""
    joined = {name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]}
    joined["phoneme_end"] = np.cumsum(joined["phoneme_end"])
    return joined


def encode_arrays(arrays: Arrays) -> bytes:
    """Return the contents of a safetensors file with these arrays."""
    return save({name: np.ascontiguousarray(value) for name, value in arrays.items()})


def encode_audio(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Convert samples in [-1, 1] to the 16-bit integers that are stored."""
    return np.clip(np.round(samples * INT16_SCALE), -_INT16_MAX - 1, _INT16_MAX).astype(np.int16)


def decode_audio(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Convert stored 16-bit samples to float32 in [-1, 1]."""
    return samples.astype(np.float32) / np.float32(INT16_SCALE)


class Shard:
    """A memory-mapped shard file; only the pages of the requested frames are read from disk.

    The map has no file position, so forked DataLoader workers can share it, and holds no open file, so a process can
    map thousands of shards.

    Args:
        path: The shard file.
        info: The manifest's entry for it; a file of another size is refused.

    Raises:
        DataError: If the file is missing, damaged, or not a shard.
    """

    def __init__(self, path: Path, info: ShardInfo | None = None) -> None:
        try:
            size = path.stat().st_size
            if info is not None and size != info.bytes:
                raise DataError(f"{path} has {size} bytes and should have {info.bytes}; copy or make the store again")
            # Read as torch tensors, which are views of the memory map; for numpy, safetensors would copy.
            with safe_open(path, framework="pt") as file:
                self._arrays: Arrays = {name: file.get_tensor(name).numpy() for name in _ARRAYS}
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path} is not a shard that can be read ({error}); make the store again") from error
        for array in self._arrays.values():
            expect_random_reads(array)

    def frames(self, name: str, first: int, count: int) -> NDArray[Any]:
        """Copy ``count`` frames of a frame array starting at ``first``."""
        return prefetch(self._arrays[name][first : first + count]).copy()

    def audio(self, first: int, count: int) -> NDArray[np.float32]:
        """Return the samples of ``count`` frames starting at ``first``, (640 count,)."""
        return decode_audio(self.encoded_audio(first, count))

    def encoded_audio(self, first: int, count: int) -> NDArray[np.int16]:
        """Return a view of the stored 16-bit samples of ``count`` frames starting at ``first``, (640 count,)."""
        return prefetch(self._arrays["audio"][first * SAMPLES_PER_FRAME : (first + count) * SAMPLES_PER_FRAME])

    def clip(self, name: str, index: int) -> NDArray[Any]:
        """Copy the row of clip ``index`` from a clip array."""
        return self._arrays[name][index].copy()

    def phonemes(self, index: int) -> tuple[Phoneme, ...]:
        """Return the phonemes of clip ``index``."""
        ends = self._arrays["phoneme_end"][max(index - 1, 0) : index + 1]
        start = int(ends[0]) if index else 0
        if ends[-1] == start:
            return ()
        encoded = self._arrays["phonemes"][start : int(ends[-1])].tobytes()
        return tuple(Phoneme(*values) for values in json.loads(encoded))
