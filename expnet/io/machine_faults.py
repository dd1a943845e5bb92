"""Telling faults of the machine (a full disk, a dead worker) from faults of a file that a user gave."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from expnet.errors import ExpnetError, InputError, MachineError

_REMEDIES = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room in your disk quota",
    errno.EMFILE: "raise the limit of open files (ulimit -n) or use fewer workers",
    errno.ENFILE: "raise the system's limit of open files or use fewer workers",
    errno.ENOMEM: "free memory or use fewer workers",
    errno.EIO: "check the disk",
    errno.EROFS: "choose a folder that can be written",
    errno.ESTALE: "check the network file system",
    errno.ETIMEDOUT: "check the network file system",
}
_CAUSED_BY_FILES = (errno.EIO, errno.ENOMEM, errno.ETIMEDOUT)
"""Numbers that FFmpeg also returns for damaged files: a packet that is cut off, a header that asks for terabytes."""


def is_machine_fault(error: BaseException) -> bool:
    """Return whether an error says that the machine failed and nothing about the input.

    Libraries written in other languages (safetensors, torch) report a full disk only in their message.
    """
    return isinstance(error, MachineError) or _number(error) is not None


def machine_error(error: BaseException) -> MachineError:
    """Return one sentence for a fault of the machine: where, what, and what to do."""
    if isinstance(error, MachineError):
        return error
    number = _number(error)
    assert number is not None, error
    path = getattr(error, "filename", None)
    where = f"{path}: " if path else ""
    return MachineError(f"{where}{os.strerror(number)}; {_REMEDIES[number]} and run the command again.")


@contextmanager
def machine_faults_reported() -> Iterator[None]:
    """Turn faults of the machine into a `MachineError`, which is one sentence; other errors stay as they are."""
    try:
        yield
    except Exception as error:
        if is_machine_fault(error):
            raise machine_error(error) from error
        raise


def writing_failed(path: str | os.PathLike[str], error: Exception) -> ExpnetError:
    """Return the error to raise for a file that could not be written: the machine's fault, or a bad choice of path."""
    number = _number(error)
    if number is not None:
        return MachineError(
            f"{path} cannot be written ({os.strerror(number)}); {_REMEDIES[number]} and run the command again."
        )
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"{path} cannot be written ({reason}); give a path in an existing folder that you may write to.")


def _number(error: BaseException) -> int | None:
    """Return the error number of the operating system, also where a library hides it in its message."""
    number = getattr(error, "errno", None)
    if type(error).__module__.startswith("av.") and number in _CAUSED_BY_FILES:
        return None
    if number in _REMEDIES:
        return number
    found = re.search(r"\(os error (\d+)\)", str(error))
    if found and int(found[1]) in _REMEDIES:
        return int(found[1])
    if os.strerror(errno.ENOSPC) in str(error):
        return errno.ENOSPC
    # torch: "CUDA out of memory. Tried to allocate ...", "DefaultCPUAllocator: can't allocate memory: ...".
    torch_lacks = isinstance(error, RuntimeError) and re.search(r"out of memory|can't allocate memory", str(error))
    return errno.ENOMEM if torch_lacks or isinstance(error, MemoryError) else None
