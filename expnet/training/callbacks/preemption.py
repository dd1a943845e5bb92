"""Leaving when the scheduler asks to, and checkpoints between two steps: a run goes on as if it had never stopped."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""What schedulers send before they stop a job: SIGTERM at preemption and ``scancel``, SIGUSR1 by
``sbatch --signal=USR1@SECONDS`` before the time is over."""

_log = logging.getLogger(__name__)


class LastCheckpoint(pl.Callback):
    """Write last.ckpt between two steps: every so many, after the last, and before leaving when a signal asks to.

    Lightning's own handlers save in the middle of a step, and talk to the other processes while these may be busy with
    something else; here a signal is only remembered, and all processes act on it together before their next step. The
    run then ends with the exit status 128 + signal. After SIGUSR1 under SLURM the job is put back into the queue; after
    SIGTERM it is not, since SLURM itself requeues what it preempts, and what a user cancelled should stay so.

    A signal that comes during a validation is acted on after it, and what was saved then is not saved again.

    Args:
        path: of the checkpoint.
        every: steps between two; None where another callback saves after each validation.
    """

    def __init__(self, path: Path, *, every: int | None = None) -> None:
        self.path = path
        self.every = every
        self._signal = 0
        self._saved_step = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to the signals, in place of Lightning's handlers; it restores the earlier ones when it is done."""
        self._saved_step = trainer.global_step
        self._signal = 0
        for number in SIGNALS:
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._signal = max(self._signal, number)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Know of the checkpoint that follows every validation."""
        if not (self.every or trainer.sanity_checking):
            self._saved_step = trainer.global_step

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save if it is time, and leave if any process was asked to."""
        asked = torch.tensor(self._signal, device=trainer.strategy.root_device)
        number = int(trainer.strategy.reduce(asked, reduce_op="max"))
        step = trainer.global_step
        due = self.every is not None and step % self.every == 0
        if (number or due) and step != self._saved_step:
            with between_steps(trainer):
                trainer.save_checkpoint(self.path)
            self._saved_step = step
        if number:
            if trainer.is_global_zero:
                leave_word(number, step)
            raise SystemExit(128 + number)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save after the last step, unless a validation follows, which does."""
        # Here and not when training has ended: Lightning then counts an epoch as done that was broken off.
        step = trainer.global_step
        validates = trainer.enable_validation and step % int(trainer.val_check_batch or 1) == 0
        if step == trainer.max_steps and not validates:
            trainer.save_checkpoint(self.path)


@contextmanager
def between_steps(trainer: pl.Trainer) -> Iterator[None]:
    """Count the batch that was fetched but not trained on as not begun: it is the resumed run's first."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    counts = (progress.current, progress.total)
    for count in counts:
        count.ready -= 1
    try:
        yield
    finally:
        for count in counts:
            count.ready += 1


def leave_word(number: int, step: int) -> None:
    """Say why the run ends, and put a SLURM job whose time is over back into the queue."""
    _log.warning("Stopped by %s after step %d; go on with ckpt=last.", signal.Signals(number).name, step)
    job = slurm_job()
    if number != signal.SIGUSR1 or job is None:
        return
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError) as error:
        _log.warning("The job could not be put back into the queue (%s): submit it again.", error)


def slurm_job() -> str | None:
    """Return the id of the SLURM job that this process belongs to, as scontrol takes it, or None."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")
