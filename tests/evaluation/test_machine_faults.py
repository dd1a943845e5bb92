"""A fault of the machine stops an evaluation with one sentence; it is never the fault of a clip."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from expnet.cli import main as command_line
from expnet.errors import DataError, InputError, MachineError
from expnet.evaluation.clip_faults import clip_fault
from expnet.evaluation.videos.reader import VideoReader

METRICS = "metrics=[mouth_opening_correlation,pose_diversity]"


def chain(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        MemoryError(),
        RuntimeError("Error while serializing: No space left on device (os error 28)"),
        chain(InputError("a.mp4: not a video"), OSError(errno.EMFILE, os.strerror(errno.EMFILE))),
    ],
)
def test_a_fault_of_the_machine_is_no_reason_of_a_clip(error: Exception) -> None:
    with pytest.raises(MachineError, match="run the command again"):
        clip_fault(error)


def test_a_fault_of_a_clip_is_its_reason() -> None:
    assert clip_fault(DataError("a.mp4:  its frames\nchange")) == "a.mp4: its frames change"
    assert clip_fault(FileNotFoundError(errno.ENOENT, "gone", "a.mp4")) == (
        "FileNotFoundError: [Errno 2] gone: 'a.mp4'"
    )


def test_videos_are_not_dropped_because_of_the_machine(
    videos: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: VideoReader, path: Path) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    arguments = ["evaluate", f"reference={videos.reference}", f"systems.mute={videos.mute}", f"output={tmp_path}"]
    arguments += [METRICS, "examples.clips=0", "trainer.devices=1"]
    with monkeypatch.context() as patch:
        patch.setattr(VideoReader, "__call__", fail)
        assert command_line(arguments) == 1
    assert "Too many open files" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert command_line(arguments) == 0
    assert '"status": "failed"' not in (tmp_path / "results.json").read_text()


@pytest.mark.parametrize("kilobytes", [4, 40])
def test_videos_scored_onto_a_full_disk(
    videos: SimpleNamespace,
    small_disk: Callable[[int], Path],
    capsys: pytest.CaptureFixture[str],
    kilobytes: int,
) -> None:
    output = small_disk(kilobytes)
    arguments = ["evaluate", f"reference={videos.reference}", f"systems.mute={videos.mute}", f"output={output}"]
    arguments += [METRICS, "examples.clips=1", "trainer.devices=1"]
    assert command_line(arguments) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("expnet:")]
    assert "No space left on device" in line
    assert "make room on that disk" in line
    assert not list(output.rglob(".*"))
    assert not (output / "results.json").exists()


def test_networks_scored_onto_a_full_disk(
    options: list[str], small_disk: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    output = small_disk(24)
    (output / "results.json").write_text("kept")
    assert command_line(["evaluate", *options, f"output={output}"]) == 1
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert [path.name for path in output.iterdir()] == ["results.json"]
    assert (output / "results.json").read_text() == "kept"
