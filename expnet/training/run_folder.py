"""The folder of a training run: how it is chosen and resumed, and the records that describe the run."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expnet.errors import ConfigError
from expnet.io.atomic import remove_partial_files, write_atomically
from expnet.io.folder_claim import FolderClaim
from expnet.io.launcher import LaunchedProcess, launched_process
from expnet.io.machine_faults import writing_failed
from expnet.io.versions import git_state, package_versions

if TYPE_CHECKING:
    from expnet.training.tasks.base_task import BaseTask

RUNS = Path("runs")
RUN_VARIABLE = "EXPNET_RUN"
"""Environment variable that tells the processes that Lightning starts which folder their parent chose and claimed."""
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "omegaconf", "numpy", "safetensors", "pyarrow")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one run: config.yaml, command.txt, versions.json, metrics.csv, checkpoints/, model.safetensors.

    Attributes:
        path: The folder.
        resume: Checkpoint to resume from, or None.
        claim: This process's claim on the folder; None in the other processes of the run.
    """

    path: Path
    resume: Path | None = None
    claim: FolderClaim | None = field(default=None, compare=False)

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
            raise writing_failed(self.path, error) from error


def open_run(*, task: str, output: str | None, ckpt: str | None, processes: int = 1) -> RunDirectory:
    """Choose the folder of a run and the checkpoint that it resumes from, and claim the folder until `leave_run`.

    Args:
        task: Name of the task, which names the folder if ``output`` is None.
        output: The folder. None takes the next free ``runs/TASK-NUMBER``, or with ``ckpt="last"`` the latest one.
        ckpt: A path, or ``last`` for the last checkpoint of the folder (a run without one starts from the beginning),
            or None.
        processes: Number of processes of the run. Processes that a launcher such as torchrun or SLURM starts cannot
            agree on a folder, so they need ``output``.

    Raises:
        ConfigError: The folder contains another run, the checkpoint does not exist, or ``output`` is missing.
        InputError: Another run is at work in the folder.
    """
    inherited = os.environ.get(RUN_VARIABLE)
    if output is not None and inherited is not None and Path(output) != Path(inherited):
        inherited = None  # of a run that this one was started from
    launched = launched_process()
    if output is None and inherited is None and launched.launcher and max(processes, launched.world) > 1:
        raise ConfigError(
            f"{launched.launcher} starts several processes of this run, which need a common folder: give output=FOLDER."
        )
    claims = inherited is None and _is_first_process(launched)
    path = Path(output or inherited or _next_folder(task, latest=ckpt == "last"))
    if path.exists() and not path.is_dir():
        raise ConfigError(f"output={path} is a file; give a folder for the run.")
    run = RunDirectory(path, claim=_claim(path) if claims else None)
    try:
        # All processes pass this check before any of them writes its first checkpoint.
        if ckpt is None and inherited is None and any(run.checkpoints.glob("*.ckpt")):
            raise ConfigError(f"{path} already contains a run: give ckpt=last to resume it, or another output=FOLDER.")
        run = replace(run, resume=_checkpoint(run, ckpt))
    except BaseException:
        leave_run(run)
        raise
    os.environ[RUN_VARIABLE] = str(path)
    return run


def leave_run(run: RunDirectory) -> None:
    """Give the folder back that `open_run` claimed, so that other runs may use it, and remove it if it is empty."""
    os.environ.pop(RUN_VARIABLE, None)
    if run.claim is not None:
        run.claim.release()
        with contextlib.suppress(OSError):  # the folder of a run that has written anything is not empty
            run.path.rmdir()


def _is_first_process(launched: LaunchedProcess) -> bool:
    """Return whether this is the one process of the run that claims the folder."""
    ranks = (os.environ.get(name, "0") for name in ("NODE_RANK", "LOCAL_RANK"))
    return launched.rank == 0 and (bool(launched.launcher) or all(rank == "0" for rank in ranks))


def _claim(path: Path) -> FolderClaim:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_failed(path, error) from error
    return FolderClaim(path)


def _checkpoint(run: RunDirectory, ckpt: str | None) -> Path | None:
    """Return the checkpoint that the run resumes from, or None if it starts from the beginning."""
    if ckpt is None:
        return None
    path = run.last if ckpt == "last" else Path(ckpt)
    if path.is_file():
        return path
    if ckpt != "last":
        raise ConfigError(f"There is no checkpoint {ckpt} to resume from.")
    _log.info("%s has no checkpoint yet: the run starts from the beginning.", run.path)
    return None


def _next_folder(task: str, *, latest: bool) -> Path:
    """Return ``runs/TASK-NUMBER`` with the number after the highest one, or with the highest one if ``latest``.

    A new folder is made here, so that of two runs started at the same time each gets its own.
    """
    numbers = [
        int(path.name.rpartition("-")[2]) for path in RUNS.glob(f"{task}-*") if path.name.rpartition("-")[2].isdigit()
    ]
    if latest and numbers:
        return RUNS / f"{task}-{max(numbers)}"
    try:
        RUNS.mkdir(exist_ok=True)
        for number in itertools.count(max(numbers, default=0) + 1):
            with contextlib.suppress(FileExistsError):
                (RUNS / f"{task}-{number}").mkdir()
                return RUNS / f"{task}-{number}"
    except OSError as error:
        raise writing_failed(RUNS, error) from error
    raise AssertionError  # itertools.count has no end


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
