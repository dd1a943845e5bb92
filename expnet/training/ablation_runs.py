"""The trainings of an ablation: started as processes, several at once, and left in a state that can be gone on from."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from expnet.config import Config, load_config
from expnet.config.grammar import to_container
from expnet.errors import ConfigError, ExpnetError, InputError

LOG = "training.log"
"""What a training prints, in its run folder."""
_PATIENCE = 60.0
"""Seconds that a training has to write its checkpoint when it is told to stop."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """One run of one variant.

    Attributes:
        variant: name of the variant.
        seed: of weights, windows and dropout.
        folder: of the run.
        layers: arguments of ``expnet train``.
    """

    variant: str
    seed: int
    folder: Path
    layers: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether it has come to its end: the model is written last."""
        return (self.folder / "model.safetensors").is_file()

    @property
    def command(self) -> list[str]:
        """What trains it, or goes on with it."""
        return [sys.executable, "-m", "expnet.cli", "train", *self.layers]


def differing(first: Config, second: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted keys in which two configurations differ, apart from where they write and what they go on from."""

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        return found

    one, other = flat(to_container(first)), flat(to_container(second))
    return {key: (one[key], other[key]) for key in one if key not in ("output", "ckpt") and one[key] != other[key]}


def check_runs(trainings: Sequence[Training]) -> None:
    """Refuse run folders that were made with other options than those asked for now.

    Raises:
        ConfigError: names the folder and the first keys that differ.
    """
    for training in trainings:
        known = training.folder / "config.yaml"
        if not known.is_file():
            continue
        changed = differing(load_config([str(known)]), load_config(training.layers))
        if changed:
            key, (was, asked) = next(iter(changed.items()))
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise ConfigError(
                f"{training.folder} was trained with {key}={was}, not {asked}{more}: give the same options again, or "
                "another output=FOLDER."
            )


def commands(trainings: Sequence[Training]) -> list[str]:
    """What remains to be trained, a command line each."""
    return [shlex.join(training.command) for training in trainings if not training.done]


def train_all(trainings: Sequence[Training], *, output: Path, jobs: int) -> None:
    """Train what is not trained yet, at most ``jobs`` at a time.

    Args:
        trainings: in order.
        output: folder of the ablation, which one command at a time works in.
        jobs: processes.

    Raises:
        ExpnetError: a training failed; the others are stopped, and go on next time.
    """
    waiting = deque(training for training in trainings if not training.done)
    running: dict[subprocess.Popen[bytes], tuple[Training, float]] = {}
    finished = len(trainings) - len(waiting)
    with _alone_in(output) as lock, _terminable():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    training = waiting.popleft()
                    running[_start(training, lock)] = training, time.monotonic()
                for process in [process for process in running if process.poll() is not None]:
                    training, started = running.pop(process)
                    _check(training, process.returncode)
                    finished += 1
                    name = f"{training.variant}, seed {training.seed}"
                    _log.info("[%d/%d] %s: %.0f s", finished, len(trainings), name, time.monotonic() - started)
                time.sleep(0.1)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                _wait(process)


def _start(training: Training, lock: int) -> subprocess.Popen[bytes]:
    """Start one training; what it prints goes to its log."""
    training.folder.mkdir(parents=True, exist_ok=True)
    with open(training.folder / LOG, "ab") as log:
        return subprocess.Popen(training.command, stdout=log, stderr=subprocess.STDOUT, pass_fds=[lock])  # noqa: S603


def _check(training: Training, code: int) -> None:
    """Raise unless a training came to its end."""
    if code == 0 and training.done:
        return
    path = training.folder / LOG
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise ExpnetError(
        f"The training of {training.variant} with seed {training.seed} stopped with exit code {code}"
        f"{': ' + lines[-1] if lines else ''} (all of it: {path}). The same command goes on where it was."
    )


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait until a training that was told to stop has written its checkpoint; end it if it does not come to that."""
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _alone_in(output: Path) -> Iterator[int]:
    """Hold the folder's lock; trainings inherit it, so that those of a killed command hold it until they end, too."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        file = open(output / ".lock", "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"Cannot write to the folder {output}: {error.strerror or error}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Another expnet ablate, or a training that a killed one left behind, is at work in {output}: wait for "
                "its end, or give another output=FOLDER."
            ) from error
        yield file.fileno()


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, as a cluster sends it, unwind the stack, so that the trainings are told, too."""

    def leave(signum: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + signum)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
