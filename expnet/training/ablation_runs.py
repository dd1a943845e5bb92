"""The trainings of an ablation: several processes at once, which can be resumed whenever the command is stopped."""

from __future__ import annotations

import logging
import shlex
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expnet.errors import ExpnetError
from expnet.io.stop_signals import unwinding_on_signals
from expnet.training.child_runs import LOG, ChildRun, locked_folder, start_process, wait_or_kill

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training(ChildRun):
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
    with locked_folder(output, "expnet ablate") as lock, unwinding_on_signals():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    training = waiting.popleft()
                    running[start_process(training, lock)] = training, time.monotonic()
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
                wait_or_kill(process)


def _check(training: Training, code: int) -> None:
    """Raise ExpnetError unless the training has finished."""
    if code == 0 and training.done:
        return
    last, path = training.last_line(), training.folder / LOG
    raise ExpnetError(
        f"The training of {training.variant} with seed {training.seed} stopped with exit code {code}"
        f"{': ' + last if last else ''} (full log: {path}). Repeat the same command to continue."
    )
