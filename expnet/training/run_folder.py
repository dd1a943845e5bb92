"""The folder of a training run: where it is, what it says about itself, and how a run finds its way back into it."""

from __future__ import annotations

import json
import logging
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expnet.errors import ConfigError, InputError
from expnet.io.atomic import remove_partial_files, write_atomically
from expnet.io.launcher import launched_process
from expnet.io.versions import git_state, package_versions

if TYPE_CHECKING:
    from expnet.training.tasks.base_task import BaseTask

RUNS = Path("runs")
RUN_VARIABLE = "EXPNET_RUN"
"""Tells the processes that Lightning starts which folder their parent chose."""
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "omegaconf", "numpy", "safetensors", "pyarrow")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunDirectory:
    """Folder of one run: config.yaml, command.txt, versions.json, metrics.csv, checkpoints/, model.safetensors.

    Attributes:
        path: the folder.
        resume: checkpoint to go on from, or None.
    """

    path: Path
    resume: Path | None = None

    @property
    def checkpoints(self) -> Path:
        """Folder of last.ckpt and best.ckpt."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint that ``ckpt=last`` goes on from."""
        return self.checkpoints / "last.ckpt"

    @property
    def model(self) -> Path:
        """The exported model."""
        return self.path / "model.safetensors"

    def describe(self, config_yaml: str, command: Sequence[str]) -> None:
        """Write what is being run, with which versions, from which state of the code."""
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            remove_partial_files(self.path)
            remove_partial_files(self.checkpoints)
            write_atomically(self.path / "config.yaml", config_yaml)
            # A resumed run adds its command and keeps those before it.
            with open(self.path / "command.txt", "a", encoding="utf-8") as file:
                file.write(shlex.join(command) + "\n")
            write_atomically(self.path / "versions.json", json.dumps(versions(), indent=2) + "\n")
        except OSError as error:
            raise InputError(f"Cannot write to the run folder {self.path}: {error.strerror or error}.") from error


def open_run(*, task: str, output: str | None, ckpt: str | None, processes: int = 1) -> RunDirectory:
    """Choose the folder of a run and the checkpoint it goes on from.

    Args:
        task: names the folder when none is given.
        output: the folder; the next free ``runs/TASK-NUMBER`` when None, or the latest for ``ckpt="last"``.
        ckpt: a path, ``last`` for the folder's own last checkpoint (a run that has none yet starts anew), or None.
        processes: of the run; those started from outside cannot agree on a number, so they need ``output``.

    Raises:
        ConfigError: the folder holds another run, or there is no such checkpoint.
    """
    inherited = os.environ.get(RUN_VARIABLE)
    launched = launched_process()
    if output is None and inherited is None and launched.launcher and max(processes, launched.world) > 1:
        raise ConfigError("A run of several processes that something else starts needs its folder: give output=FOLDER.")
    path = Path(output or inherited or _next_folder(task, latest=ckpt == "last"))
    if output is None:
        os.environ[RUN_VARIABLE] = str(path)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"output={path} is a file; give the folder of the run.")
    if ckpt is None:
        # No process gets as far as its first checkpoint before all have passed here.
        if inherited is None and any((path / "checkpoints").glob("*.ckpt")):
            raise ConfigError(f"{path} holds a run already: give ckpt=last to go on with it, or another output=FOLDER.")
        return RunDirectory(path)
    resume = RunDirectory(path).last if ckpt == "last" else Path(ckpt)
    if resume.is_file():
        return RunDirectory(path, resume)
    if ckpt != "last":
        raise ConfigError(f"There is no checkpoint {ckpt} to go on from.")
    _log.info("%s has no checkpoint yet: the run starts at the beginning.", path)
    return RunDirectory(path)


def leave_run() -> None:
    """Forget the folder that `open_run` chose: the next run of this process gets its own."""
    os.environ.pop(RUN_VARIABLE, None)


def _next_folder(task: str, *, latest: bool) -> Path:
    """Return ``runs/TASK-NUMBER``: the one after the last, or the last."""
    numbers = [
        int(path.name.rpartition("-")[2]) for path in RUNS.glob(f"{task}-*") if path.name.rpartition("-")[2].isdigit()
    ]
    number = max(numbers, default=0) + (not latest or not numbers)
    return RUNS / f"{task}-{number}"


def export_weights(run: RunDirectory, task: BaseTask) -> None:
    """Write model.safetensors from the best checkpoint, or from the last weights where nothing was validated."""
    from expnet.models.saved_model import open_model, save_model

    best = run.checkpoints / "best.ckpt"
    if best.is_file():
        model, header = open_model(best)
        save_model(run.model, model, header["notes"])
    else:
        save_model(run.model, task.evaluated, task.notes_now())


def versions() -> dict[str, Any]:
    """Return versions of expnet, Python and the packages that decide a result, and the state of the code."""
    return {**package_versions(PACKAGES), "platform": platform.platform(), "git": git_state()}


def command_line(arguments: Sequence[str]) -> list[str]:
    """Return this process's command with the given arguments, as one would type it."""
    return [Path(sys.argv[0]).name or "expnet train", *arguments]
