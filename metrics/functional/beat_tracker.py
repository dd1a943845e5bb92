"""librosa's beat tracker, compiled by one process at a time.

numba keeps the machine code of a generalised function in two files, a loop and its wrapper, which name each other's
symbols. Processes that compile it at the same time may leave two files that do not belong together, and then every
process that loads them crashes until they are deleted (seen with numba 0.68 and librosa 0.11 and 1.0).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
from filelock import FileLock

RATE = 22050
"""Sample rate in Hz that the tracker is tuned for."""


@cache
def beat_tracker() -> Callable[..., Any]:
    """Return ``librosa.beat.beat_track``, whose loops have been compiled for float32 audio.

    The first process of an installation compiles them, for a few seconds, and the others wait and read them from disk.
    """
    import librosa  # here, because it takes a second

    with _alone():
        track: Callable[..., Any] = librosa.beat.beat_track  # some loops are compiled when the module is loaded,
        clicks = np.zeros(4 * RATE, np.float32)
        clicks[:: RATE // 2] = 1.0
        track(y=clicks, sr=RATE)  # and the others when they are first called
    return track


def lock_path() -> Path:
    """Return the file to lock, which is beside the machine code: machines that share the one share the other."""
    import librosa
    import numba

    settings: Any = numba.config  # whose names are made when it is loaded
    return Path(settings.CACHE_DIR or Path(librosa.__file__).parent / "__pycache__") / "beat_tracker.lock"


@contextmanager
def _alone() -> Iterator[None]:
    path = lock_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path).acquire()
    except (OSError, NotImplementedError):  # a folder that cannot be written, or that has no locks
        lock = FileLock(Path(gettempdir()) / path.name).acquire()
    with lock:
        yield
