"""The folder of a training run: how it is chosen and resumed, and the records that describe the run."""

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
"""Environment variable that tells the processes that Lightning starts which folder their parent chose."""
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "omegaconf", "numpy", "safetensors", "pyarrow")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one run: config.yaml, command.txt, versions.json, metrics.csv, checkpoints/, model.safetensors.

    Attributes:
        path: The folder.
        resume: Checkpoint to resume from, or None.
    """

    path: Path
    resume: Path | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of last.ckpt and best.ckpt."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint that ``ckpt=last`` resumes from."""
        return self.checkpoints / "last.ckpt"

    @property
    def model(self) -> Path:
        """The exported network."""
        return self.path / "model.safetensors"

    def describe(self, config_yaml: str, command: Sequence[str]) -> None:
        """Write the configuration, the command, and the versions of the packages and of the code."""
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            remove_partial_files(self.path)
            remove_partial_files(self.checkpoints)
            write_atomically(self.path / "config.yaml", config_yaml)
            # A resumed run appends its command to the earlier ones.
            with open(self.path / "command.txt", "a", encoding="utf-8") as file:
                file.write(shlex.join(command) + "\n")
            write_atomically(self.path / "versions.json", json.dumps(versions(), indent=2) + "\n")
        except OSError as error:
            raise InputError(f"Cannot write to the run folder {self.path}: {error.strerror or error}.") from error


def open_run(*, task: str, output: str | None, ckpt: str | None, processes: int = 1) -> RunDirectory:
    """Choose the folder of a run and the checkpoint that it resumes from.

    Args:
        task: Name of the task, which names the folder if ``output`` is None.
        output: The folder. None takes the next free ``runs/TASK-NUMBER``, or with ``ckpt="last"`` the latest one.
        ckpt: A path, or ``last`` for the last checkpoint of the folder (a run without one starts from the beginning),
            or None.
        processes: Number of processes of the run. Processes that a launcher such as torchrun or SLURM starts cannot
            agree on a folder, so they need ``output``.

    Raises:
        ConfigError: The folder contains another run, the checkpoint does not exist, or ``output`` is missing.
    """
    inherited = os.environ.get(RUN_VARIABLE)
    launched = launched_process()
    if output is None and inherited is None and launched.launcher and max(processes, launched.world) > 1:
        raise ConfigError(
            f"{launched.launcher} starts several processes of this run, which need a common folder: give output=FOLDER."
        )
    path = Path(output or inherited or _next_folder(task, latest=ckpt == "last"))
    if output is None:
        os.environ[RUN_VARIABLE] = str(path)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"output={path} is a file; give a folder for the run.")
    if ckpt is None:
        # All processes pass this check before any of them writes its first checkpoint.
        if inherited is None and any((path / "checkpoints").glob("*.ckpt")):
            raise ConfigError(f"{path} already contains a run: give ckpt=last to resume it, or another output=FOLDER.")
        return RunDirectory(path)
    resume = RunDirectory(path).last if ckpt == "last" else Path(ckpt)
    if resume.is_file():
        return RunDirectory(path, resume)
    if ckpt != "last":
        raise ConfigError(f"There is no checkpoint {ckpt} to resume from.")
    _log.info("%s has no checkpoint yet: the run starts from the beginning.", path)
    return RunDirectory(path)


def leave_run() -> None:
    """Forget the folder that `open_run` chose, so that the next run of this process gets its own."""
    os.environ.pop(RUN_VARIABLE, None)


def _next_folder(task: str, *, latest: bool) -> Path:
    """Return ``runs/TASK-NUMBER`` with the number after the highest one, or with the highest one if ``latest``."""
    numbers = [
        int(path.name.rpartition("-")[2]) for path in RUNS.glob(f"{task}-*") if path.name.rpartition("-")[2].isdigit()
    ]
    number = max(numbers, default=0) + (not latest or not numbers)
    return RUNS / f"{task}-{number}"


def export_weights(run: RunDirectory, task: BaseTask) -> None:
    """Write model.safetensors from the best checkpoint, or from the last weights if the run had no validation."""
    from expnet.models.saved_model import open_model, save_model

    best = run.checkpoints / "best.ckpt"
    if best.is_file():
        model, header = open_model(best)
        save_model(run.model, model, header["notes"])
    else:
        save_model(run.model, task.evaluated, task.notes_now())


def versions() -> dict[str, Any]:
    """Return the versions of expnet, Python and the packages that affect a result, and the state of the code."""
    return {**package_versions(PACKAGES), "platform": platform.platform(), "git": git_state()}


def command_line(arguments: Sequence[str]) -> list[str]:
    """Return the command of this process with the given arguments, as a user would type it."""
    return [Path(sys.argv[0]).name or "expnet train", *arguments]
