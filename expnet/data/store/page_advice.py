"""Hints to the operating system how part of a memory map will be read.

They save time and change no result. Linux and macOS take them by `madvise`; Windows has none, and is told nothing.
"""

import ctypes
import mmap
from functools import cache
from typing import Any

from numpy.typing import NDArray

_RANDOM: int | None = getattr(mmap, "MADV_RANDOM", None)
_WILL_NEED: int | None = getattr(mmap, "MADV_WILLNEED", None)


def expect_random_reads(array: NDArray[Any]) -> None:
    """Say that a mapped array is read at random places, where reading ahead is mostly wasted."""
    _advise(array, _RANDOM)


def prefetch(array: NDArray[Any]) -> NDArray[Any]:
    """Ask for all pages of a mapped array at once instead of one page fault at a time, and return it."""
    _advise(array, _WILL_NEED)
    return array


def _advise(array: NDArray[Any], advice: int | None) -> int:
    """Return 0, or -1 where the kernel refused, which changes no result."""
    if advice is None or not array.nbytes:
        return 0
    address = array.ctypes.data
    begin = address - address % mmap.PAGESIZE
    refused: int = _madvise()(begin, array.nbytes + address - begin, advice)
    return refused


@cache
def _madvise() -> Any:
    """Return the C library's function. Python's mmap objects have one, too, but each keeps a file open."""
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function
