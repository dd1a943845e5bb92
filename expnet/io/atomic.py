"""Files that are complete or not there: written beside their place, then renamed into it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

LONGEST_NAME = 255
"""Bytes of a file name on every common file system."""
_FULL = 65_536  # bytes; a disk with less room is full


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty file to write to; it replaces ``path`` when the block ends without an error.

    Readers see the old file or the whole new one. When the block raises, the new file is deleted and the old one stays.
    The file has the permissions of any newly made file and the suffix of ``path``, since writers choose formats by it.

    Args:
        path: File to write. Its folder must exist.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    target = Path(path)
    partial = _beside(target)
    try:
        # As an ordinary open() does, so that the process's umask decides on the permissions.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        permissions = partial.stat().st_mode
        yield partial
        if partial.stat().st_mode != permissions:  # safetensors makes a private file of its own in its place
            with contextlib.suppress(OSError):  # not every file system has permissions
                partial.chmod(permissions)
        os.replace(partial, target)
    except BaseException as error:
        # Libraries report a full disk in words of their own: torch.save says "unexpected pos 704 vs 598".
        unnamed = isinstance(error, (RuntimeError, OSError)) and getattr(error, "errno", None) is None
        full = unnamed and shutil.disk_usage(target.parent).free < _FULL
        partial.unlink(missing_ok=True)
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        raise


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes ``path`` when the block ends without an error.

    Args:
        path: Folder to make. It must not exist, or be empty.

    Raises:
        OSError: The folder cannot be made, or ``path`` is a folder with files in it.
    """
    target = Path(path)
    partial = _beside(target)
    try:
        partial.mkdir()
        yield partial
        os.replace(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a whole file, text as UTF-8, see `atomic_path`."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(path) as partial:
        partial.write_bytes(data)


def remove_partial_files(folder: Path) -> None:
    """Delete the half-written files of killed processes in a folder that no process is writing to."""
    for left_behind in folder.glob(".*.partial*"):
        left_behind.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    """A name in the same folder that nothing else has, hidden, with the suffix of the target."""
    ending = f".{secrets.token_hex(4)}.partial{target.suffix}"
    stem = os.fsencode(target.stem)[: LONGEST_NAME - len(os.fsencode(ending)) - 1]
    return target.with_name(f".{os.fsdecode(stem)}{ending}")
