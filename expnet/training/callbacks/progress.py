"""A progress line that is readable in a terminal, in a log file and in a notebook."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import pytorch_lightning as pl

LABELS = {
    "val/within_clip_r2": "R2",
    "val/mouth_opening_correlation": "mouth r",
    "val/loss": "val loss",
    "train/loss": "loss",
}


class ProgressLine(pl.Callback):
    """Print the step, the time left and at most four values; on a terminal the line has a bar and updates in place.

    Args:
        values: Names of the logged values to show; `LABELS` holds their short labels.
        stream: Stream to print to; standard error by default.
        seconds: Minimum time between two lines if the stream is not a terminal. Validations always print a line.
    """

    def __init__(self, values: tuple[str, ...], *, stream: TextIO | None = None, seconds: float = 15.0) -> None:
        self.values = values[:4]
        self.stream = stream
        self.seconds = seconds
        self._started = self._printed = 0.0
        self._first_step = 0

    @property
    def _out(self) -> TextIO:
        return self.stream or sys.stderr

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = self._printed = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Update the line from time to time."""
        terminal = self._out.isatty()
        if trainer.is_global_zero and time.monotonic() - self._printed > (0.5 if terminal else self.seconds):
            self._print(trainer, end="\r" if terminal else "\n")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print a line that is not overwritten."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            self._print(trainer, end="\n")

    def _print(self, trainer: pl.Trainer, *, end: str) -> None:
        self._printed = time.monotonic()
        line = self.line(trainer)
        if self._out.isatty():
            line = f"{bar(trainer.global_step / int(trainer.max_steps))} {line}"
        width = 120 if end == "\r" else 1  # spaces that cover a longer line printed before
        self._out.write(f"{line:<{width}}{end}")
        self._out.flush()

    def line(self, trainer: pl.Trainer) -> str:
        """Return the progress line without the bar."""
        done, total = trainer.global_step, int(trainer.max_steps)
        elapsed = time.monotonic() - self._started
        rate = (done - self._first_step) / elapsed if elapsed > 0 else 0.0
        parts = [f"step {done}/{total}"]
        logged = trainer.callback_metrics
        parts += [f"{LABELS.get(name, name)} {float(logged[name]):.3f}" for name in self.values if name in logged]
        left = f"{clock((total - done) / rate)} left" if rate > 0 and done < total else f"took {clock(elapsed)}"
        return "  ".join([*parts, f"{rate:.1f} steps/s", left])


def bar(share: float, *, width: int = 20) -> str:
    """Return a share in [0, 1] as an ASCII bar."""
    full = round(min(share, 1.0) * width)
    return f"[{'#' * full}{'.' * (width - full)}]"


def clock(seconds: float) -> str:
    """Return a duration in a readable form: 45 s, 3:20 min, 2:05 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)}:{int(seconds % 60):02d} min"
    return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d} h"
