"""What can be said here about macOS and Windows: expnet works without what Python lacks there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from expnet.media.video_reader import probe_video

# Packages of others are imported first: they ask for the system by its name, and expnet asks for what it has.
WITHOUT_WINDOWS = """
import os, signal, sys
import asyncio, multiprocessing.connection, multiprocessing.util, subprocess, tempfile
import librosa, lightning_fabric, matplotlib.pyplot, numba, pytorch_lightning, skimage, torch, wandb

sys.modules["fcntl"] = None
for missing in ("fork", "getuid", "geteuid", "sched_getaffinity", "getpgid", "setsid", "killpg", "statvfs"):
    delattr(os, missing)
for missing in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGTRAP", "SIGKILL", "SIGQUIT"):
    delattr(signal, missing)
"""
IMPORT_EVERYTHING = """
import importlib, pkgutil
import expnet

for module in pkgutil.walk_packages(expnet.__path__, "expnet."):
    importlib.import_module(module.name)
    print(module.name)
"""
LOCK_A_FILE = """
from pathlib import Path
from expnet.io.file_lock import FileLock, LockedError

lock = FileLock(Path(sys.argv[1]))
try:
    FileLock(Path(sys.argv[1]))
except LockedError as error:
    print("locked by" + error.holder)
lock.release()
FileLock(Path(sys.argv[1])).release()
"""
ANIMATE = """
import numpy as np
from skimage.data import astronaut
from expnet import Animator

time = np.arange(8000) / 16000
speech = np.random.default_rng(0).normal(0, 0.1, len(time)) * np.sin(np.pi * 4 * time) ** 2
Animator().animate(np.ascontiguousarray(astronaut()[:256, 90:346]), speech.astype(np.float32), sys.argv[1])
"""


def run_without(code: str, *arguments: str) -> str:
    """Run code where what Windows lacks is missing, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_WINDOWS + code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_can_be_imported() -> None:
    names = run_without(IMPORT_EVERYTHING).split()
    assert len(names) > 300
    assert {"expnet.training.ablation_runs", "expnet.data.store.object_storage", "expnet.cli.animate"} <= set(names)


def test_a_lock_names_its_holder(tmp_path: Path) -> None:
    assert run_without(LOCK_A_FILE, str(tmp_path / ".lock")).startswith("locked by (number ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("face_tracker")
def test_a_portrait_is_animated(tmp_path: Path) -> None:
    run_without(ANIMATE, str(tmp_path / "talking.mp4"))
    assert probe_video(tmp_path / "talking.mp4").frames == 13
