"""librosa's beat tracker is compiled by one process at a time; two at once would leave code that crashes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import librosa
import numpy as np
import pytest
from filelock import FileLock, Timeout

from expnet.metrics.functional import beat_tracker as module
from expnet.metrics.functional.beat_tracker import RATE, beat_tracker, lock_path

COMPILES = """
import sys, numpy as np
from pathlib import Path
from expnet.metrics.functional.beat_tracker import RATE, beat_tracker
files = lambda: sorted((path.name, path.stat().st_mtime_ns) for path in Path(sys.argv[1]).rglob("*.nb?"))
track = beat_tracker()
compiled = files()
noise = np.random.default_rng(0).standard_normal(6 * RATE).astype(np.float32)
track(y=noise, sr=RATE, units="time")
assert compiled and files() == compiled, (compiled, files())
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[bool]]:
    """Whether the lock was held, for each call of a tracker that stands for librosa's."""
    made: list[bool] = []
    stand_in = SimpleNamespace(beat_track=lambda **_: made.append(any(map(is_locked, tmp_path.rglob("*.lock")))))
    monkeypatch.setitem(sys.modules, "librosa", SimpleNamespace(beat=stand_in))
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "cache"))
    beat_tracker.cache_clear()
    yield made
    beat_tracker.cache_clear()


def is_locked(path: Path) -> bool:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def test_the_first_call_is_made_alone(calls: list[bool], tmp_path: Path) -> None:
    beat_tracker()
    assert calls == [True]
    assert lock_path() == tmp_path / "cache" / "beat_tracker.lock"
    assert not is_locked(lock_path())
    beat_tracker()
    assert len(calls) == 1


def test_a_folder_that_cannot_be_written(calls: list[bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    monkeypatch.setattr(module, "gettempdir", lambda: str(tmp_path))
    beat_tracker()
    assert calls == [True]


def test_nothing_is_left_to_compile_afterwards(tmp_path: Path) -> None:
    """All that float32 audio needs is compiled under the lock."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", COMPILES, tmp_path], check=True, env=environment)


def test_it_is_librosas() -> None:
    noise = np.random.default_rng(1).standard_normal(4 * RATE).astype(np.float32)
    assert np.array_equal(beat_tracker()(y=noise, sr=RATE)[1], librosa.beat.beat_track(y=noise, sr=RATE)[1])
