"""The command line as a whole: full disks, stop signals, and terminals that cannot print a name."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from expnet import cli
from expnet.coefficients import FaceCoefficients
from expnet.formats.motion_clip import MotionClip, write_npz

ENDLESS_VIDEO = """
import itertools, signal, sys
# The tests may run under nohup or in the background of a shell, whose children ignore these signals.
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
from expnet.cli import guarded
from expnet.media.video_writer import write_video
frame = np.zeros((64, 64, 3), np.uint8)
def frames():
    for number in itertools.count():
        if number == 50:
            print("writing", flush=True)
        yield frame
sys.exit(guarded(lambda: write_video(sys.argv[1], frames())))
"""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.mp4"), 1, "x.mp4: No space left on device; make room"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), 1, "ulimit -n"),
        (MemoryError(), 1, "free memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "free memory"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x.mp4"), 2, "x.mp4: Permission denied; give a path"),
    ],
)
def test_one_sentence(error: Exception, code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    assert cli.guarded(fail) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_other_errors_keep_their_traceback() -> None:
    for error in (RuntimeError("a bug"), FileNotFoundError(errno.ENOENT, "a bug"), PermissionError("a bug")):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error), match="a bug"):
            cli.guarded(fail)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_standard_output_on_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "expnet.cli", "assets", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1, result.stderr
    assert "make room" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict", "latin-1:strict"])
def test_any_name_is_printed_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    rng = np.random.default_rng(0)
    coefficients = FaceCoefficients(
        expression=rng.normal(size=(3, 64)).astype(np.float32),
        rotation=np.zeros((3, 3), np.float32),
        translation=np.zeros((3, 3), np.float32),
    )
    write_npz(tmp_path / "motion.npz", MotionClip(coefficients))
    output = tmp_path / os.fsdecode("caf\xe9 \u65e5".encode() + b" \xe9.json")
    result = subprocess.run(
        [sys.executable, "-m", "expnet.cli", "convert", tmp_path / "motion.npz", "--to", "json", "--output", output],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert output.is_file()
    assert result.stdout.endswith(b".json\n")
    if encoding.startswith("utf-8"):
        assert result.stdout == os.fsencode(output) + b"\n"


def start(code: str, *arguments: object, before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_stop_signal_removes_what_is_half_written(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "video.mp4").write_text("the old one")
    with start(ENDLESS_VIDEO, tmp_path / "video.mp4") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 2
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()  # leaving the block waits for it
    assert process.returncode == code
    assert said == "expnet: stopped.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]
    assert (tmp_path / "video.mp4").read_text() == "the old one"


def test_signals_that_are_ignored_stay_ignored(tmp_path: Path) -> None:
    code = (
        "import time; from expnet.cli import guarded\n"
        "def run(): print('started', flush=True); time.sleep(1)\n"
        "raise SystemExit(guarded(run))"
    )
    nohup = start(code, before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    with nohup as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0


def test_forked_workers_end_at_once() -> None:
    code = (
        "import multiprocessing, time; from expnet.cli import guarded\n"
        "def work():\n"
        "    try: time.sleep(60)\n"
        "    finally: print('unwound', flush=True)\n"
        "def run():\n"
        "    child = multiprocessing.get_context('fork').Process(target=work); child.start(); time.sleep(0.5)\n"
        "    child.terminate(); child.join(); print(child.exitcode)\n"
        "raise SystemExit(guarded(run))"
    )
    begun = time.monotonic()
    with start(code) as process:
        said, _ = process.communicate(timeout=60)
    assert said == "-15\n"
    assert time.monotonic() - begun < 50
