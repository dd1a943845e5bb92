"""last.ckpt, saved between two steps and when the scheduler stops the job, so that a resumed run continues exactly."""

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

from expnet.training.callbacks.accumulation import batches_before
from expnet.training.shared_flags import FIRST_SIGNAL, share_flags

TIME_LIMIT: signal.Signals | None = getattr(signal, "SIGUSR1", None)
"""Signal that announces the time limit; Windows, which has no SLURM either, has none."""
SIGNALS = (signal.SIGTERM,) if TIME_LIMIT is None else (signal.SIGTERM, TIME_LIMIT)
"""Signals that schedulers send before they stop a job: SIGTERM at preemption and ``scancel``, SIGUSR1 from
``sbatch --signal=USR1@SECONDS`` before the time limit."""

_log = logging.getLogger(__name__)


class LastCheckpoint(pl.Callback):
    """Write last.ckpt between two steps: every few steps, after the last step, and when a signal stops the run.

    Lightning's own handlers save in the middle of a step and communicate with processes that may be busy elsewhere.
    Here the handler only records the signal, and all processes act on it together before their next step; of several
    processes, one tells the others with its gradients, so they take that step first. The run then
    ends with exit status 128 + signal. After SIGUSR1 a SLURM job is requeued. After SIGTERM it is not: SLURM requeues
    preempted jobs itself, and a cancelled job must stay cancelled.

    A signal during a validation takes effect after it, and the checkpoint of that validation is not saved again. Where
    gradients are added up over several batches, a signal waits for their step.

    Args:
        path: File to write.
        every: Number of steps between checkpoints, beside those that another callback saves after each validation;
            None for none.
    """

    def __init__(self, path: Path, *, every: int | None = None) -> None:
        self.path = path
        self.every = every
        self._signal = 0
        self._agreed = 0
        self._saved_step = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Lightning's signal handlers; Lightning restores the original ones after training."""
        self._saved_step = trainer.global_step
        self._signal = self._agreed = 0
        share_flags(trainer)
        for number in SIGNALS:
            signal.signal(number, self._record_signal)
        loop = trainer.fit_loop.epoch_loop
        if hasattr(loop, "_broadcast_sigterm_tensor"):
            # Of a signal that Lightning's handlers, which are replaced here, would have received; once a step.
            loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def _record_signal(self, number: int, frame: FrameType | None) -> None:
        self._signal = max(self._signal, number)

    def on_before_backward(self, trainer: pl.Trainer, *_: Any) -> None:
        """Tell the other processes of a signal."""
        for place, number in enumerate(SIGNALS):
            if self._signal == number:
                share_flags(trainer).raise_flag(FIRST_SIGNAL + place, condition=True)

    def on_before_optimizer_step(self, trainer: pl.Trainer, *_: Any) -> None:
        """Learn of a signal that any process has told of."""
        if trainer.world_size > 1:
            shares = share_flags(trainer).exchange(trainer)[FIRST_SIGNAL:].tolist()
            told = [number for number, share in zip(SIGNALS, shares, strict=False) if share > 0]
            self._agreed = max(told, default=0)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record that another callback saves a checkpoint after this validation."""
        if not trainer.sanity_checking:
            self._saved_step = trainer.global_step

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save if a checkpoint is due, and stop if any process received a signal.

        Raises:
            SystemExit: A signal asked the run to stop.
        """
        if batches_before(trainer):
            return
        number = self._signal if trainer.world_size == 1 else self._agreed
        step = trainer.global_step
        due = self.every is not None and step % self.every == 0
        if (number or due) and step != self._saved_step:
            with between_steps(trainer):
                trainer.save_checkpoint(self.path)
            self._saved_step = step
        if number:
            if trainer.is_global_zero:
                report_stop(number, step)
            raise SystemExit(128 + number)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save after the last step, unless a validation follows, which saves a checkpoint."""
        # Not in on_train_end: Lightning would by then count the interrupted epoch as completed.
        batches = trainer.global_step * trainer.accumulate_grad_batches
        follows = trainer.should_stop or batches % int(trainer.val_check_batch or 1) == 0
        ends = trainer.should_stop or trainer.global_step == trainer.max_steps
        if ends and not (trainer.enable_validation and follows):
            trainer.save_checkpoint(self.path)


@contextmanager
def between_steps(trainer: pl.Trainer) -> Iterator[None]:
    """Count the fetched batch, on which no step was taken yet, as not started: a resumed run begins with it."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    counts = (progress.current, progress.total)
    for count in counts:
        count.ready -= 1
    try:
        yield
    finally:
        for count in counts:
            count.ready += 1


def report_stop(number: int, step: int) -> None:
    """Log why the run ends, and requeue a SLURM job that reached its time limit."""
    _log.warning("Stopped by %s after step %d; continue with ckpt=last.", signal.Signals(number).name, step)
    job = slurm_job()
    if number != TIME_LIMIT or job is None:
        return
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError) as error:
        _log.warning("The job could not be requeued (%s); submit it again.", error)


def slurm_job() -> str | None:
    """Return the id of this process's SLURM job in the form that scontrol takes, or None outside SLURM."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")
