"""The trainings of an ablation: several processes at once, which can be resumed whenever the command is stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expnet.config import Config, load_config
from expnet.config.grammar import flat, to_container
from expnet.errors import ConfigError, ExpnetError, InputError
from expnet.io.file_lock import lock_file
from expnet.io.stop_signals import unwinding_on_signals

LOG = "training.log"
"""File in the run folder with the output of the training."""
_SECONDS_TO_STOP = 60.0
"""Seconds in which a training that is told to stop has to write its checkpoint."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """One run of one variant.

    Attributes:
        variant: Name of the variant.
        seed: Seed of the run.
        folder: Run folder.
        layers: Arguments of ``expnet train``.
    """

    variant: str
    seed: int
    folder: Path
    layers: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether the training has finished: the exported network is written last."""
        return (self.folder / "model.safetensors").is_file()

    @property
    def command(self) -> list[str]:
        """The command that starts or resumes the training."""
        return [sys.executable, "-m", "expnet.cli", "train", *self.layers]


def differing_keys(first: Config, second: Config) -> dict[str, tuple[Any, Any]]:
    """Return the dotted keys in which two configurations differ, with both values; output and ckpt do not count."""
    one, other = flat(to_container(first)), flat(to_container(second))
    return {key: (one[key], other[key]) for key in one if key not in ("output", "ckpt") and one[key] != other[key]}


def check_runs(trainings: Sequence[Training]) -> None:
    """Refuse existing run folders that were trained with other options.

    Raises:
        ConfigError: The message names the folder and the first key that differs.
    """
    for training in trainings:
        existing = training.folder / "config.yaml"
        if not existing.is_file():
            continue
        changed = differing_keys(load_config([str(existing)]), load_config(training.layers))
        if changed:
            key, (before, now) = next(iter(changed.items()))
            more = f" (and {len(changed) - 1} more keys differ)" if len(changed) > 1 else ""
            raise ConfigError(
                f"{training.folder} was trained with {key}={before}, not {now}{more}: give the same options again, or "
                "another output=FOLDER."
            )


def commands(trainings: Sequence[Training]) -> list[str]:
    """Return the command line of each training that is not finished."""
    return [shlex.join(training.command) for training in trainings if not training.done]


def train_all(trainings: Sequence[Training], *, output: Path, jobs: int) -> None:
    """Run the trainings that are not finished, at most ``jobs`` at a time.

    Args:
        trainings: The trainings in their order.
        output: Folder of the ablation, which is locked: only one command at a time may work in it.
        jobs: Number of simultaneous processes.

    Raises:
        ExpnetError: A training failed. The others are stopped, and resumed by the next command.
    """
    waiting = deque(training for training in trainings if not training.done)
    running: dict[subprocess.Popen[bytes], tuple[Training, float]] = {}
    finished = len(trainings) - len(waiting)
    with _lock_folder(output) as lock, unwinding_on_signals():
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
                _wait_or_kill(process)


def _start(training: Training, lock: int) -> subprocess.Popen[bytes]:
    """Start one training, with its output in its log file."""
    training.folder.mkdir(parents=True, exist_ok=True)
    with open(training.folder / LOG, "ab") as log:
        inherited = [lock] if os.name == "posix" else []  # Windows has neither the lock nor a way to pass it
        return subprocess.Popen(  # noqa: S603
            training.command, stdout=log, stderr=subprocess.STDOUT, pass_fds=inherited
        )


def _check(training: Training, code: int) -> None:
    """Raise ExpnetError unless the training has finished."""
    if code == 0 and training.done:
        return
    path = training.folder / LOG
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise ExpnetError(
        f"The training of {training.variant} with seed {training.seed} stopped with exit code {code}"
        f"{': ' + lines[-1] if lines else ''} (full log: {path}). Repeat the same command to continue."
    )


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    """Wait for a training that was told to stop and writes its checkpoint; kill it if that takes too long."""
    try:
        process.wait(_SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _lock_folder(output: Path) -> Iterator[int]:
    """Hold the folder's lock and yield its file descriptor.

    Trainings inherit the lock, so that those which outlive a killed command keep the folder locked until they end.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        file = open(output / ".lock", "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"Cannot write to the folder {output}: {error.strerror or error}.") from error
    with file:
        try:
            lock_file(file.fileno(), wait=False)
        except BlockingIOError as error:
            raise InputError(
                f"Another expnet ablate, or a training that a killed one left running, is at work in {output}: wait "
                "until it ends, or give another output=FOLDER."
            ) from error
        except OSError as error:
            # Each training still claims its own run folder, see `expnet.io.folder_claim`.
            _log.warning("%s cannot be locked (%s): start no second expnet ablate in it.", output, error.strerror)
        yield file.fileno()
