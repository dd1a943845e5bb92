"""Trainings that a command starts as processes of their own: ablations and sweeps."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from expnet.config import Config, load_config
from expnet.config.grammar import flat, to_container
from expnet.errors import ConfigError, InputError
from expnet.io.file_lock import lock_file

LOG = "training.log"
"""File in the run folder with the output of the training."""
_SECONDS_TO_STOP = 60.0
"""Seconds in which a training that is told to stop has to write its checkpoint."""

_log = logging.getLogger(__name__)


class ChildRun:
    """One training in a folder of its own, which can be started again until it is done.

    Attributes:
        folder: Run folder.
        layers: Arguments of ``expnet train``.
    """

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

    def last_line(self) -> str:
        """Return the last line that the training has printed; empty if it has printed nothing."""
        path = self.folder / LOG
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        lines = text.strip().splitlines()
        return lines[-1] if lines else ""


def differing_keys(first: Config, second: Config) -> dict[str, tuple[Any, Any]]:
    """Return the dotted keys in which two configurations differ, with both values; output and ckpt do not count."""
    one, other = flat(to_container(first)), flat(to_container(second))
    return {key: (one[key], other[key]) for key in one if key not in ("output", "ckpt") and one[key] != other[key]}


def check_runs(runs: Sequence[ChildRun]) -> None:
    """Refuse existing run folders that were trained with other options.

    Raises:
        ConfigError: The message names the folder and the first key that differs.
    """
    for run in runs:
        existing = run.folder / "config.yaml"
        if not existing.is_file():
            continue
        changed = differing_keys(load_config([str(existing)]), load_config(run.layers))
        if changed:
            key, (before, now) = next(iter(changed.items()))
            more = f" (and {len(changed) - 1} more keys differ)" if len(changed) > 1 else ""
            raise ConfigError(
                f"{run.folder} was trained with {key}={before}, not {now}{more}: give the same options again, or "
                "another output=FOLDER."
            )


def start_process(run: ChildRun, lock: int, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start one training, with its output in its log file.

    Args:
        run: The training.
        lock: The descriptor of `locked_folder`, which the process inherits.
        environment: Variables beside those of this process.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.folder / LOG, "ab") as log:
        inherited = [lock] if os.name == "posix" else []  # Windows has neither the lock nor a way to pass it
        return subprocess.Popen(  # noqa: S603
            run.command,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=inherited,
            env={**os.environ, **(environment or {})},
        )


def wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    """Wait for a training that was told to stop and writes its checkpoint; kill it if that takes too long."""
    try:
        process.wait(_SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def locked_folder(output: Path, command: str) -> Iterator[int]:
    """Hold the folder's lock and yield its file descriptor.

    Trainings inherit the lock, so that those which outlive a killed command keep the folder locked until they end.

    Args:
        output: The folder; it is made if it is not there.
        command: The command that locks it, for the messages, such as ``expnet ablate``.

    Raises:
        InputError: Another command is at work in the folder, or it cannot be written to.
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
                f"Another {command}, or a training that a killed one left running, is at work in {output}: wait "
                "until it ends, or give another output=FOLDER."
            ) from error
        except OSError as error:
            # Each training still claims its own run folder, see `expnet.io.folder_claim`.
            _log.warning("%s cannot be locked (%s): start no second %s in it.", output, error.strerror, command)
        yield file.fileno()
