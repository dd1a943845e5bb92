"""Compilation of loops over pixels."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function with numba, and cache the machine code on disk if a folder for it is writable."""
    try:
        kernel: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder for the cache: a read-only installation without a home directory
        kernel = numba.njit(nogil=True)(function)
    return kernel
