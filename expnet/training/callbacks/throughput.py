"""Training speed and its bottlenecks, in speed.csv: times vary between runs, so metrics.csv must not hold them."""

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
    """Measure the time that the training loop waits for its next batch: ``Trainer(profiler=FetchClock())``.

    Lightning reports the start and end of each fetch to its profiler. The time between two steps would include logging
    and checkpoints.

    Attributes:
        seconds: Total waiting time so far.
        started: Start of the last fetch, by ``time.perf_counter``.
        seconds_before: Total waiting time before the last fetch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.started = self.seconds_before = 0.0

    def start(self, action_name: str) -> None:
        """Start the clock if the action fetches a batch."""
        if action_name.endswith(_FETCH):
            self.started, self.seconds_before = time.perf_counter(), self.seconds

    def stop(self, action_name: str) -> None:
        """Stop the clock if the action fetches a batch."""
        if action_name.endswith(_FETCH):
            self.seconds += time.perf_counter() - self.started


def frames_of(batch: Any) -> int:
    """Return the frames of a `expnet.data.batch.FaceBatch`, including padding, which costs as much to compute."""
    return int(batch.valid.numel())


class Throughput(pl.Callback):
    """Log the training speed over every ``log_every_n_steps`` steps.

    ``speed/frames_per_second`` counts all processes. ``speed/data_wait_share``, in [0, 1], is the share of time that
    rank 0 waits for data; it needs a `FetchClock` in the Trainer. ``speed/gpu_memory_gib`` is the peak memory that
    torch has allocated on the GPU of rank 0 so far. Validations and checkpoints are excluded.

    Args:
        path: CSV file of the values. They also go to all loggers but metrics.csv, which must not vary between runs.
        resume_step: See `CsvLogger`.
        count: Function that returns the number of frames in the batch of one process.
    """

    def __init__(
        self, path: str | Path, *, resume_step: int | None = None, count: Callable[[Any], int] = frames_of
    ) -> None:
        self.file = CsvLogger(path, resume_step=resume_step)
        self.count = count
        self._frames = 0
        self._seconds = self._waited = 0.0
        self._last_time = self._last_waited = 0.0
        self._paused = True
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pause until the first batch."""
        self._paused, self._step = True, trainer.global_step

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pause until training continues."""
        self._paused = True

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """After a pause, continue from the time when this batch was requested."""
        if self._paused:
            clock = trainer.profiler  # type: ignore[attr-defined]
            if isinstance(clock, FetchClock):
                self._last_time, self._last_waited = clock.started, clock.seconds_before
            else:
                self._last_time, self._last_waited = time.perf_counter(), 0.0
            self._paused = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the step, and log a row every ``log_every_n_steps`` steps."""
        now, waited = time.perf_counter(), _waited(trainer)
        self._seconds += now - self._last_time
        self._waited += waited - self._last_waited
        self._last_time, self._last_waited = now, waited
        self._frames += self.count(batch) * trainer.world_size
        # With accumulated gradients, several batches end at one step.
        stepped, self._step = trainer.global_step != self._step, trainer.global_step
        if stepped and trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
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
            # Rows count steps from 0, as those of metrics.csv do.
            logger.log_metrics(values, step=trainer.global_step - 1)


def _waited(trainer: pl.Trainer) -> float:
    """Return the seconds that the training loop has waited for data so far; 0 without a `FetchClock`."""
    profiler = trainer.profiler  # type: ignore[attr-defined]
    return profiler.seconds if isinstance(profiler, FetchClock) else 0.0
