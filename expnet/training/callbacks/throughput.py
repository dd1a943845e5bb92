"""How fast a training is and what holds it up. Times are never the same twice, so they have a file of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.profilers import Profiler

from expnet.training.callbacks.csv_logger import CsvLogger

_FETCH = "train_dataloader_next"
_GIB = 2**30


class FetchClock(Profiler):
    """Count the seconds in which the training loop waits for its next batch: ``Trainer(profiler=FetchClock())``.

    Lightning tells its profiler when it begins and ends to fetch; the time between two steps would hold logging and
    checkpoints, too.

    Attributes:
        seconds: waited so far.
        begun: when the last fetch began, by ``time.perf_counter``.
        before: seconds waited until then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.begun = self.before = 0.0

    def start(self, action_name: str) -> None:
        """Start the clock if a batch is fetched."""
        if action_name.endswith(_FETCH):
            self.begun, self.before = time.perf_counter(), self.seconds

    def stop(self, action_name: str) -> None:
        """Stop it."""
        if action_name.endswith(_FETCH):
            self.seconds += time.perf_counter() - self.begun


def frames_of(batch: Any) -> int:
    """Frames in a `expnet.data.batch.FaceBatch`, padding included: they are computed like the others."""
    return int(batch.valid.numel())


class Throughput(pl.Callback):
    """Measure speed over every ``log_every_n_steps`` steps.

    ``speed/frames_per_second`` counts all processes; ``speed/data_wait_share`` is the share of the time, 0 to 1, in
    which the first process waits for data, known where the Trainer has a `FetchClock`; ``speed/gpu_memory_gib`` is the
    most that torch has held on the first process's GPU so far. Validations and checkpoints are left out.

    Args:
        path: file of the rows. They go to all loggers but metrics.csv, which is the same from run to run.
        resume_step: see `CsvLogger`.
        count: frames of a batch of one process.
    """

    def __init__(
        self, path: str | Path, *, resume_step: int | None = None, count: Callable[[Any], int] = frames_of
    ) -> None:
        self.file = CsvLogger(path, resume_step=resume_step)
        self.count = count
        self._frames = 0
        self._seconds = self._waited = 0.0
        self._mark = self._fetched = 0.0
        self._paused = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait for the first batch."""
        self._paused = True

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pause until training goes on."""
        self._paused = True

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Go on: from when this batch was asked for."""
        if self._paused:
            clock = trainer.profiler  # type: ignore[attr-defined]
            known = isinstance(clock, FetchClock)
            self._mark, self._fetched = (clock.begun, clock.before) if known else (time.perf_counter(), 0.0)
            self._paused = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a step, and write a row now and then."""
        now, fetched = time.perf_counter(), _waited(trainer)
        self._seconds += now - self._mark
        self._waited += fetched - self._fetched
        self._mark, self._fetched = now, fetched
        self._frames += self.count(batch) * trainer.world_size
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            if trainer.is_global_zero:
                self._log(trainer, pl_module.device)
            self._frames, self._seconds, self._waited = 0, 0.0, 0.0

    def _log(self, trainer: pl.Trainer, device: torch.device) -> None:
        values = {"speed/frames_per_second": self._frames / self._seconds}
        if isinstance(trainer.profiler, FetchClock):  # type: ignore[attr-defined]
            values["speed/data_wait_share"] = self._waited / self._seconds
        if device.type == "cuda":
            values["speed/gpu_memory_gib"] = torch.cuda.max_memory_allocated(device) / _GIB
        for logger in [self.file, *(logger for logger in trainer.loggers if not isinstance(logger, CsvLogger))]:
            # Steps are counted from 0 in the rows of metrics.csv, and here alike.
            logger.log_metrics(values, step=trainer.global_step - 1)


def _waited(trainer: pl.Trainer) -> float:
    """Seconds that the training loop has waited for data so far, as far as they are known."""
    profiler = trainer.profiler  # type: ignore[attr-defined]
    return profiler.seconds if isinstance(profiler, FetchClock) else 0.0
