"""A folder has one writer; the claim of a dead process is taken over, that of a living one is not."""

import json
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expnet.errors import InputError, MachineError
from expnet.io import folder_claim
from expnet.io.folder_claim import CLAIM_NAME, FolderClaim


def start_holder(folder: Path) -> "subprocess.Popen[str]":
    """A process that holds the folder until it is killed."""
    code = (
        "import sys, time; from pathlib import Path; from expnet.io.folder_claim import FolderClaim;"
        "claim = FolderClaim(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_folder_is_held_until_it_is_released(tmp_path: Path) -> None:
    claim = FolderClaim(tmp_path)
    with pytest.raises(InputError, match=f"in use by another run \\(process {os.getpid()} on "):
        FolderClaim(tmp_path)
    claim.release()
    assert list(tmp_path.iterdir()) == []
    FolderClaim(tmp_path).release()


def test_a_living_process_keeps_it_and_a_killed_one_loses_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    holder = start_holder(tmp_path)
    try:
        with pytest.raises(InputError, match=f"process {holder.pid} on .*give another output=FOLDER"):
            FolderClaim(tmp_path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with caplog.at_level(logging.WARNING):
        claim = FolderClaim(tmp_path)
    assert f"process {holder.pid} on " in caplog.text
    assert "which is dead: taking it over" in caplog.text
    claim.release()
    assert list(tmp_path.iterdir()) == []


def test_another_process_of_the_same_number_is_not_the_holder(tmp_path: Path) -> None:
    claim = FolderClaim(tmp_path)
    path = tmp_path / CLAIM_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "started": "1"}))
    FolderClaim(tmp_path).release()
    claim.release()


def test_a_copy_of_a_folder_in_use_is_free(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    claim = FolderClaim(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    FolderClaim(tmp_path / "copy").release()
    with pytest.raises(InputError, match="in use"):
        FolderClaim(tmp_path / "run")
    claim.release()


def elsewhere(path: Path) -> None:
    """Rewrite a claim as if it had been made on another machine."""
    path.write_text(json.dumps({"pid": 7, "host": "node2", "machine": "node2 0123", "started": "5", "token": "x"}))


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_claim, "PATIENCE_SECONDS", 1.0)


@pytest.mark.usefixtures("patience")
def test_a_claim_of_another_machine_that_shows_no_life(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    elsewhere(tmp_path / CLAIM_NAME)
    FolderClaim(tmp_path).release()
    assert "process 7 on node2, which is dead: taking it over" in caplog.text


@pytest.mark.usefixtures("patience")
def test_a_claim_of_another_machine_that_is_renewed(tmp_path: Path) -> None:
    path = tmp_path / CLAIM_NAME
    elsewhere(path)
    content = path.read_text()
    renewal = threading.Timer(0.3, lambda: os.utime(path, (1, 1)))
    renewal.start()
    with pytest.raises(InputError, match="process 7 on node2"):
        FolderClaim(tmp_path)
    renewal.join()
    assert path.read_text() == content


@pytest.mark.usefixtures("patience")
def test_a_claim_that_was_never_written(tmp_path: Path) -> None:
    (tmp_path / CLAIM_NAME).touch()
    FolderClaim(tmp_path).release()


def test_the_holder_renews_its_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_claim, "RENEW_SECONDS", 0.05)
    claim = FolderClaim(tmp_path)
    os.utime(claim.path, (1, 1))
    for _ in range(100):
        if claim.path.stat().st_mtime > 1:
            break
        time.sleep(0.05)
    assert claim.path.stat().st_mtime > 1
    claim.release()


def _claim_once(folder: Path, barrier: Any, queue: Any) -> None:
    barrier.wait()
    try:
        FolderClaim(folder)
        queue.put("held")
    except InputError:
        queue.put("refused")
    barrier.wait()  # the holder lives until all have tried


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_at_once_one_gets_it(dead: bool, tmp_path: Path) -> None:
    if dead:
        holder = start_holder(tmp_path)
        holder.kill()
        holder.wait()
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(8), context.Queue()
    started = [context.Process(target=_claim_once, args=(tmp_path, barrier, queue)) for _ in range(8)]
    for process in started:
        process.start()
    outcomes = sorted(queue.get(timeout=60) for _ in started)
    for process in started:
        process.join()
    assert outcomes == ["held"] + ["refused"] * 7


@pytest.mark.usefixtures("patience")
def test_a_takeover_that_was_broken_off(tmp_path: Path) -> None:
    """A process died while it replaced a dead claim: the next one waits for it, then goes on."""
    elsewhere(tmp_path / CLAIM_NAME)
    marker = tmp_path / f"{CLAIM_NAME}.partial"
    marker.touch()
    os.utime(marker, (1, 1))
    FolderClaim(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_releases_nothing(tmp_path: Path) -> None:
    claim = FolderClaim(tmp_path)
    child = multiprocessing.get_context("fork").Process(target=claim.release)
    child.start()
    child.join()
    assert claim.path.is_file()
    claim.release()


def test_a_full_disk_is_the_machines_fault(small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(64)
    with pytest.raises(OSError, match="No space"), open(folder / "filler", "wb") as file:
        file.write(b"\0" * 2**20)
    with pytest.raises(MachineError, match="make room"):
        FolderClaim(folder)
    assert [path.name for path in folder.iterdir()] == ["filler"]
