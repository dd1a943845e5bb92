"""Checkpoints kept beside best.ckpt and last.ckpt: those of every n-th step, and those with the best scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from expnet.training.callbacks.accumulation import batches_before
from expnet.training.callbacks.preemption import between_steps
from expnet.training.callbacks.run_checkpoint import MonitoredRunCheckpoint, RunCheckpoint


class PeriodicCheckpoints(pl.Callback):
    """Keep the checkpoint of every n-th step but the last, from which a run goes on exactly.

    Args:
        folder: Folder for step_000500.ckpt.
        every: Number of steps between two of them.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every
        self._saved_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave out the step that the run starts from."""
        self._saved_step = trainer.global_step

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save between two steps, where Lightning's counters are those of a run that stops there."""
        step = trainer.global_step
        if step == self._saved_step or step % self.every or batches_before(trainer):
            return
        with between_steps(trainer):
            trainer.save_checkpoint(self.folder / f"step_{step:06d}.ckpt")
        self._saved_step = step


class _Kept:
    """Gives a checkpoint callback a state of its own beside that of best.ckpt."""

    @property
    def state_key(self) -> str:
        """The key of the state in a checkpoint."""
        return f"Kept{super().state_key}"  # type: ignore[misc]


class KeptCheckpoint(_Kept, RunCheckpoint):
    """Keeps the checkpoints with the best values of a loss."""


class KeptMonitoredCheckpoint(_Kept, MonitoredRunCheckpoint):
    """Keeps the checkpoints with the best values that a metric callback logs."""
