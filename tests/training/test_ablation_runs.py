"""The training processes of an ablation: parallel runs, failures, signals, and folders in use."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from expnet.errors import ExpnetError, InputError
from expnet.training.ablation_runs import Training, train_all

TRAIN = """
import sys, time
from pathlib import Path
folder, seconds, code = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
with open(folder.parent / "log.txt", "a") as log: log.write(f"start {folder.name}\\n")
time.sleep(seconds)
with open(folder.parent / "log.txt", "a") as log: log.write(f"end {folder.name}\\n")
print("these are the last words")
if code == 0: (folder / "model.safetensors").write_text("")
sys.exit(code)
"""


@dataclass(frozen=True)
class Planted(Training):
    """A training that only sleeps."""

    seconds: float = 0.3
    code: int = 0

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", TRAIN, str(self.folder), str(self.seconds), str(self.code)]


def plant(folder: Path, name: str, **options: float) -> Planted:
    return Planted(name, 0, folder / name, (), **options)  # type: ignore[arg-type]


def events(folder: Path) -> list[str]:
    path = folder / "log.txt"
    return path.read_text().splitlines() if path.is_file() else []


def wait_for(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def test_one_after_another_and_at_once(tmp_path: Path) -> None:
    train_all([plant(tmp_path, name) for name in "abc"], output=tmp_path, jobs=1)
    assert events(tmp_path) == ["start a", "end a", "start b", "end b", "start c", "end c"]
    # The three finished trainings are skipped, and only the new one starts.
    train_all([plant(tmp_path, name) for name in "abcd"], output=tmp_path, jobs=1)
    assert events(tmp_path)[6:] == ["start d", "end d"]
    together = tmp_path / "together"
    train_all([plant(together, name, seconds=3.0) for name in "ab"], output=together, jobs=2)
    assert sorted(events(together)[:2]) == ["start a", "start b"]


def test_a_failure_stops_the_others_and_says_why(tmp_path: Path) -> None:
    trainings = [plant(tmp_path, "slow", seconds=60.0), plant(tmp_path, "bad", code=3), plant(tmp_path, "never")]
    started = time.monotonic()
    with pytest.raises(ExpnetError, match="bad with seed 0 stopped with exit code 3: these are the last words"):
        train_all(trainings, output=tmp_path, jobs=2)
    assert time.monotonic() - started < 30
    assert "end slow" not in events(tmp_path)
    assert "start never" not in events(tmp_path)


def test_a_training_without_a_model_has_failed(tmp_path: Path) -> None:
    class Nothing(Planted):
        @property
        def command(self) -> list[str]:
            return [sys.executable, "-c", "pass"]

    with pytest.raises(ExpnetError, match=r"stopped with exit code 0 \(full log"):
        train_all([Nothing("a", 0, tmp_path / "a", ())], output=tmp_path, jobs=1)


def start_elsewhere(tmp_path: Path) -> subprocess.Popen[bytes]:
    """Run `train_all` with one long training in a separate process, and return once the training has started."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_ablation_runs as t; "
        "folder = Path(sys.argv[2]); t.train_all([t.plant(folder, 'long', seconds=60.0)], output=folder, jobs=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)])
    wait_for(lambda: events(tmp_path) == ["start long"])
    return process


def is_free(tmp_path: Path) -> bool:
    try:
        train_all([], output=tmp_path, jobs=1)
    except InputError as error:
        return "is at work in" not in str(error)
    return True


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Lustre without flock: the trainings run, and each claims its own folder."""

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    train_all([plant(tmp_path, "a")], output=tmp_path, jobs=1)
    assert events(tmp_path) == ["start a", "end a"]
    assert "cannot be locked (Operation not supported)" in caplog.text


def test_sigterm_ends_the_trainings_too(tmp_path: Path) -> None:
    process = start_elsewhere(tmp_path)
    assert not is_free(tmp_path)
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    assert is_free(tmp_path)  # no training is left running


def test_what_a_killed_command_left_behind_keeps_the_folder(tmp_path: Path) -> None:
    process = start_elsewhere(tmp_path)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.is_file():
        process.terminate()
        pytest.skip("the system does not list a process's children")
    orphan = int(children.read_text())
    process.kill()
    process.wait(30)
    assert not is_free(tmp_path)
    os.kill(orphan, signal.SIGKILL)
    wait_for(lambda: is_free(tmp_path))
