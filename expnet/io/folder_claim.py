"""One writer a folder: a claim that is taken atomically, on network file systems too, and outlives no process.

The claim is a file that only one process can create (``O_CREAT | O_EXCL``, which NFS and Lustre guarantee, while they
may lack ``flock``). Its holder renews it every few seconds. A claim whose process is dead is taken over: on the same
machine at once, since the process can be looked up, and from another machine when it has not been renewed for a minute.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from expnet.errors import InputError
from expnet.io.atomic import write_atomically
from expnet.io.machine_faults import writing_failed

CLAIM_NAME = ".in_use.json"
RENEW_SECONDS = 10.0
"""Time between two renewals of a claim."""
PATIENCE_SECONDS = 60.0
"""A claim from another machine that is not renewed for so long belongs to a dead process."""

_log = logging.getLogger(__name__)


class FolderClaim:
    """A claim on a folder, held from its creation until `release`, or until the process ends.

    Args:
        folder: The folder; it must exist.

    Raises:
        InputError: Another process that is alive holds the folder.
        ExpnetError: The folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.absolute() / CLAIM_NAME
        content = {**_this_process(), "folder": folder.stat().st_ino, "token": secrets.token_hex(8)}
        self._content = json.dumps(content)
        self._process = os.getpid()
        self._released = threading.Event()
        while not (self._create() or self._take_over()):
            time.sleep(0.05)
        # A daemon, so that a claim never keeps a process alive; a forked child does not inherit the thread.
        threading.Thread(target=self._renew, name="expnet-claim", daemon=True).start()

    def release(self) -> None:
        """Give the folder back; does nothing in a forked child, whose parent holds the claim."""
        if os.getpid() != self._process or self._released.is_set():
            return
        self._released.set()
        if _read(self.path)[0] == self._content:
            self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        """Create the file; return whether it was not there."""
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        except OSError as error:
            raise writing_failed(self.path.parent, error) from error
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self._content)
        except OSError as error:
            self.path.unlink(missing_ok=True)
            raise writing_failed(self.path.parent, error) from error
        return True

    def _take_over(self) -> bool:
        """Replace the claim of a dead process; return whether this process did it.

        Raises:
            InputError: The process of the claim is alive.
        """
        content, renewed = _read(self.path)
        if not renewed:
            return False  # released in the meantime
        holder = _parse(content)
        who = f"process {holder.get('pid', '?')} on {holder.get('host', 'an unknown machine')}"
        folder = self.path.parent
        if _is_alive(self.path, content, renewed, holder, who):
            raise InputError(
                f"{folder} is in use by another run ({who}): wait until it ends, or give another output=FOLDER."
            )
        with _alone(self.path) as alone:
            # Another process may have taken the folder over before this one was alone.
            if not alone or _read(self.path)[0] != content:
                return False
            try:
                write_atomically(self.path, self._content)
            except OSError as error:
                raise writing_failed(folder, error) from error
        _log.warning("%s was left in use by %s, which is dead: taking it over.", folder, who)
        return True

    def _renew(self) -> None:
        while not self._released.wait(RENEW_SECONDS):
            with suppress(OSError):  # a network file system that is away for a while; the claim is renewed afterwards
                if _read(self.path)[0] == self._content:
                    os.utime(self.path)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Let one process at a time replace a dead claim; yields whether this is the one."""
    marker = path.with_name(f"{path.name}.partial")
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        yield False
        # A process that died while it replaced a claim left this file behind.
        with suppress(FileNotFoundError):
            if time.time() - marker.stat().st_mtime > PATIENCE_SECONDS:
                marker.unlink()
        return
    try:
        yield True
    finally:
        marker.unlink(missing_ok=True)


def _is_alive(path: Path, content: str, renewed: float, holder: dict[str, object], who: str) -> bool:
    """Return whether the process that holds a claim still runs."""
    # Windows does not tell whether a process runs (the signal 0 would be Ctrl-C), so there the claim must be renewed.
    if holder.get("machine") == _machine() and os.name != "nt":
        # A copied folder has the claim on the original in it.
        return (
            holder["folder"] == path.parent.stat().st_ino and _start_time(int(str(holder["pid"]))) == holder["started"]
        )
    _log.warning("%s is in use by %s; waiting up to %.0f s for a sign of life.", path.parent, who, PATIENCE_SECONDS)
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        time.sleep(min(1.0, PATIENCE_SECONDS / 10))
        if _read(path) != (content, renewed):
            # Gone: the next attempt creates it. Another holder, or renewed: somebody is at work.
            return path.exists()
    return False


def _read(path: Path) -> tuple[str, float]:
    """Return the content and the time of the last renewal; empty and 0 for a file that is not there.

    Opening the file makes a network file system ask its server instead of its cache.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return "", 0.0


def _parse(content: str) -> dict[str, object]:
    try:
        holder = json.loads(content)
    except ValueError:  # its process died while it wrote the claim
        return {}
    return holder if isinstance(holder, dict) else {}


def _this_process() -> dict[str, object]:
    pid = os.getpid()
    return {"pid": pid, "host": platform.node(), "machine": _machine(), "started": _start_time(pid)}


def _machine() -> str:
    """Identify the running system and its table of processes: containers may share a host name but not the table."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _start_time(pid: int) -> str | None:
    """Return when a process started, which tells it from a later one of the same number; None if it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return _start_time_without_proc(pid)
    return None if fields[0] in "ZX" else fields[19]


def _start_time_without_proc(pid: int) -> str | None:
    """Where there is no /proc, say only whether a process runs."""
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "running"
