"""Recordings too long for memory, kept in an unnamed temporary file and read slice by slice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_BYTES = np.dtype(np.float32).itemsize
HELD_SAMPLES = 10 * 60 * 16_000
"""Recordings of up to ten minutes (38 MB) stay in memory."""


class StoredSamples:
    """Mono samples (S,) in a temporary file that is deleted with the object; a slice is an array.

    Args:
        blocks: The samples in order, (n,) each.

    Raises:
        OSError: The disk of the temporary folder is full.
    """

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
            raise ValueError(f"stored samples can only be read with step 1, not {step}")
        # pread does not move the file position, so several threads can read at once.
        data = os.pread(self._file.fileno(), _BYTES * max(stop - start, 0), _BYTES * start)
        return np.frombuffer(data, np.float32).copy()

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[np.floating]:
        return np.asarray(self[:], dtype)  # type: ignore[call-overload]


Samples = NDArray[np.float32] | StoredSamples
"""Mono samples (S,) that can be sliced, in memory or in a file."""


def hold(blocks: Iterator[NDArray[np.float32]]) -> Samples:
    """Collect a recording: in memory up to `HELD_SAMPLES`, otherwise in a temporary file.

    Args:
        blocks: The samples in order, (n,) each.

    Returns:
        (S,)
    """
    held: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count > HELD_SAMPLES:
            return StoredSamples(chain(held, blocks))
    return np.concatenate(held)
