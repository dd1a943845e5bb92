"""Shards: the arrays of many clips, end to end, in one safetensors file.

A shard holds one array of each kind for all of its clips, so that opening it costs the same however many clips it
has, and a window of any clip is one contiguous piece of each array. Frame arrays are joined along time, ``audio``
with 640 samples a frame; ``identity`` and ``crop`` have a row a clip; phonemes are JSON bytes.
"""

import ctypes
import json
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.speech_synthesis import Phoneme
from expnet.data.store.storage import ShardInfo
from expnet.data.store.track import Track
from expnet.errors import DataError

Arrays = dict[str, NDArray[Any]]

FRAME_ARRAYS = ("expression", "rotation", "translation", "landmarks", "valid")
CLIP_ARRAYS = ("identity", "crop", "phoneme_end")
_ARRAYS = (*FRAME_ARRAYS, *CLIP_ARRAYS, "audio", "phonemes")
# Python's own maps have madvise, but each keeps a file open.
_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
# 16-bit samples; this scale maps the files' own 16-bit values to themselves.
_INT16_SCALE = 32768.0
_INT16_MAX = 32767


def track_to_arrays(track: Track) -> Arrays:
    """Turn a track into a shard of this one clip."""
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
        "audio": np.clip(np.round(track.audio * _INT16_SCALE), -_INT16_MAX - 1, _INT16_MAX).astype(np.int16),
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
    """Contents of the safetensors file of arrays."""
    return save({name: np.ascontiguousarray(value) for name, value in arrays.items()})


def decode_audio(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Turn stored 16-bit samples into float32 in [-1, 1]."""
    return samples.astype(np.float32) / np.float32(_INT16_SCALE)


class Shard:
    """A shard file, memory-mapped; the disk reads the pages of what is asked for, and no others.

    The map has no file position, so a forked DataLoader worker can go on using it, and no open file, so that a process
    can have thousands.

    Args:
        path: The file.
        info: What the manifest says about it; a file of another size is refused.

    Raises:
        DataError: If the file is missing, damaged, or no shard.
    """

    def __init__(self, path: Path, info: ShardInfo | None = None) -> None:
        try:
            size = path.stat().st_size
            if info is not None and size != info.bytes:
                raise DataError(f"{path} has {size} bytes and should have {info.bytes}; copy or make the store again")
            # As torch tensors, which are views of the map; safetensors would copy arrays for numpy.
            with safe_open(path, framework="pt") as file:
                self._arrays: Arrays = {name: file.get_tensor(name).numpy() for name in _ARRAYS}
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path} is not a shard that can be read ({error}); make the store again") from error
        for array in self._arrays.values():
            # Windows lie anywhere: reading on behind one, as the kernel would, is mostly in vain.
            _advise(array, mmap.MADV_RANDOM)

    def frames(self, name: str, first: int, count: int) -> NDArray[Any]:
        """Copy ``count`` frames of a frame array from ``first`` on."""
        return _fetched(self._arrays[name][first : first + count]).copy()

    def audio(self, first: int, count: int) -> NDArray[np.float32]:
        """Samples of ``count`` frames from ``first`` on, (640 count,)."""
        samples = self._arrays["audio"][first * SAMPLES_PER_FRAME : (first + count) * SAMPLES_PER_FRAME]
        return decode_audio(_fetched(samples))

    def clip(self, name: str, index: int) -> NDArray[Any]:
        """Copy of clip ``index``'s row of a clip array."""
        return self._arrays[name][index].copy()

    def phonemes(self, index: int) -> tuple[Phoneme, ...]:
        """Phonemes of clip ``index``."""
        ends = self._arrays["phoneme_end"][max(index - 1, 0) : index + 1]
        start = int(ends[0]) if index else 0
        if ends[-1] == start:
            return ()
        encoded = self._arrays["phonemes"][start : int(ends[-1])].tobytes()
        return tuple(Phoneme(*values) for values in json.loads(encoded))


def _fetched(piece: NDArray[Any]) -> NDArray[Any]:
    """Have the pages of a piece read at once, rather than one by one as they are touched."""
    _advise(piece, mmap.MADV_WILLNEED)
    return piece


def _advise(array: NDArray[Any], advice: int) -> None:
    """Tell the kernel how a part of a map will be read: a hint, which it may ignore."""
    if array.nbytes:
        address = array.ctypes.data
        begin = address - address % mmap.PAGESIZE
        _madvise(begin, array.nbytes + address - begin, advice)
