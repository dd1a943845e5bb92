"""Sound that is too long to hold: in a file that has no name, read where it is looked at."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_BYTES = np.dtype(np.float32).itemsize
HELD_SAMPLES = 10 * 60 * 16_000
"""Sound up to ten minutes (38 MB) is simply held."""


class StoredSamples:
    """Mono samples (S,) in a temporary file, which goes with the object; a slice of it is an array."""

    ndim = 1

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this object)
        for block in blocks:
            self._file.write(np.ascontiguousarray(block, np.float32).tobytes())
        self._file.flush()
        self._length = self._file.tell() // _BYTES

    def __len__(self) -> int:
        return self._length

    @property
    def shape(self) -> tuple[int]:
        """(S,)."""
        return (self._length,)

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        start, stop, step = part.indices(self._length)
        if step != 1:
            raise ValueError(f"stored samples are read in one go, not in steps of {step}")
        # A read at a place leaves the file's own position alone, so that several readers do not meet.
        data = os.pread(self._file.fileno(), _BYTES * max(stop - start, 0), _BYTES * start)
        return np.frombuffer(data, np.float32).copy()

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[np.floating]:
        return np.asarray(self[:], dtype)  # type: ignore[call-overload]


Samples = NDArray[np.float32] | StoredSamples
"""Mono samples (S,) that can be sliced, wherever they are."""


def hold(blocks: Iterator[NDArray[np.float32]]) -> Samples:
    """Hold short sound as an array, and put long sound into a file."""
    held: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count > HELD_SAMPLES:
            return StoredSamples(chain(held, blocks))
    return np.concatenate(held)
