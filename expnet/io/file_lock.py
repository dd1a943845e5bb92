"""A lock that one process holds on a file for as long as it lives, also where the file system has no locks.

The kernel's lock (flock) ends with its holder, however that dies. Some file systems have none: Lustre mounted without
it, some network and FUSE mounts, and everything on Windows. There the lock is the existence of the file, which names
its holder, and a file that a dead process of this machine left is taken over (not on Windows, which does not tell).
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

LOCKS_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL)
"""What `lock_file` says where there are no locks."""

_log = logging.getLogger(__name__)


def lock_file(file: int, *, wait: bool) -> None:
    """Take the kernel's lock on an open file.

    Raises:
        BlockingIOError: Another process holds it, and ``wait`` is False.
        OSError: There are no locks here (`LOCKS_UNSUPPORTED`), or the file system fails.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


class LockedError(Exception):
    """Another process holds the lock.

    Attributes:
        holder: Which one, to follow "another process" in a message; empty if unknown.
        advice: What to do if it does not run any more; empty where that cannot be.
    """

    def __init__(self, holder: str = "", advice: str = "") -> None:
        super().__init__(holder)
        self.holder, self.advice = holder, advice


class FileLock:
    """The lock, taken without waiting.

    Args:
        path: The lock file; it exists as long as the lock is held.

    Raises:
        LockedError: Another process holds the lock.
        OSError: The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        self.held = False
        """Whether this process holds the lock."""
        try:
            lock_file(self._file, wait=False)
            # The holder deletes the lock file when it is done, and a lock on a deleted file protects nothing.
            if not path.exists() or os.fstat(self._file).st_ino != path.stat().st_ino:
                raise LockedError
        except BlockingIOError as error:
            os.close(self._file)
            raise LockedError from error
        except OSError as error:
            os.close(self._file)
            path.unlink(missing_ok=True)
            if error.errno not in LOCKS_UNSUPPORTED:
                raise
            self._file, self._path = None, _claim_by_name(path.with_name(f"{path.name}.owner"))
        except BaseException:
            os.close(self._file)
            raise
        self.held = True

    def release(self) -> None:
        """Give the lock up and delete the file, while the lock is still held."""
        if self.held:
            self.held = False
            self._path.unlink(missing_ok=True)
            if self._file is not None:
                os.close(self._file)


def _claim_by_name(path: Path) -> Path:
    """Become the process that a file names, by making the file, which only one process can."""
    _remove_if_abandoned(path)
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError as error:
        owner = _read_owner(path)
        holder = f" (number {owner.process} on {owner.host})" if owner else ""
        raise LockedError(holder, f"; if it does not run any more, delete {path}") from error
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(json.dumps(asdict(_Owner.this_process())))
    return path


@dataclass(frozen=True)
class _Owner:
    """The process that holds a lock; the start time tells it from a later process with the same number."""

    host: str
    process: int
    started: str

    @staticmethod
    def this_process() -> _Owner:
        return _Owner(socket.gethostname(), os.getpid(), _start_time(os.getpid()))

    def is_dead(self) -> bool:
        """Whether this machine knows that the process has ended; a process of another machine may run."""
        if self.host != socket.gethostname() or os.name == "nt":  # where the signal 0 is no question, but Ctrl-C
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it runs, and belongs to another user
            pass
        return _start_time(self.process) != self.started


def _start_time(process: int) -> str:
    """Return when a process started, in the words of the kernel; empty where it does not say."""
    try:
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except OSError:
        return ""


def _read_owner(path: Path) -> _Owner | None:
    """Return the owner that a file names; None if the file is gone or not written yet."""
    try:
        return _Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _remove_if_abandoned(path: Path) -> None:
    """Delete a file that a dead process of this machine left."""
    owner = _read_owner(path)
    if owner is None or not owner.is_dead():
        return
    # Renamed first, since another process may take the file over at the same moment.
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    if _read_owner(aside) != owner:
        os.rename(aside, path)
        return
    aside.unlink()
    _log.warning("%s was left by process %d, which has ended; it is taken over.", path, owner.process)
