"""One holder at a time, on file systems with and without locks."""

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from expnet.io import file_lock
from expnet.io.file_lock import FileLock, LockedError


@pytest.fixture(params=["locks", "no locks"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    if request.param == "no locks":
        monkeypatch.setattr(file_lock.fcntl, "flock", refuse)
    return tmp_path


def test_one_process_holds_it_until_it_gives_it_up(place: Path) -> None:
    lock = FileLock(place / ".lock")
    with pytest.raises(LockedError):
        FileLock(place / ".lock")
    assert lock.held
    lock.release()
    assert not lock.held
    assert list(place.iterdir()) == []
    FileLock(place / ".lock").release()
    lock.release()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("place", ["no locks"], indirect=True)
def test_what_a_dead_process_left_is_taken_over(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    number = int(ended.stdout)
    owner = {"host": socket.gethostname(), "process": number, "started": "1"}
    (place / ".lock.owner").write_text(json.dumps(owner))
    FileLock(place / ".lock").release()
    assert f"was left by process {number}, which has ended" in caplog.text
    # The number belongs to another process now.
    (place / ".lock.owner").write_text(json.dumps({**owner, "process": os.getpid()}))
    FileLock(place / ".lock").release()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("place", ["no locks"], indirect=True)
def test_a_process_of_another_machine_is_named(place: Path) -> None:
    (place / ".lock.owner").write_text(json.dumps({"host": "node7", "process": 12, "started": "1"}))
    with pytest.raises(LockedError) as caught:
        FileLock(place / ".lock")
    assert caught.value.holder == " (number 12 on node7)"
    assert caught.value.advice == f"; if it does not run any more, delete {place / '.lock.owner'}"
    (place / ".lock.owner").write_text("")  # not written yet: held as well
    with pytest.raises(LockedError):
        FileLock(place / ".lock")


def test_other_errors_are_not_taken_for_a_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(file_lock.fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"):
        FileLock(tmp_path / ".lock")
    assert list(tmp_path.iterdir()) == []
