"""One line that says how far a run is: readable in a terminal, in a log file and in a notebook."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import pytorch_lightning as pl

SHORT = {
    "val/within_clip_r2": "R2",
    "val/mouth_opening_correlation": "mouth r",
    "val/loss": "val loss",
    "train/loss": "loss",
}


class ProgressLine(pl.Callback):
    """Print steps, time left and at most four values; on a terminal the line has a bar and renews itself.

    Args:
        values: names of logged values to show, see `SHORT` for how they are called.
        stream: where to; standard error by default.
        seconds: pause between lines that are not the line of a validation, where the stream is no terminal.
    """

    def __init__(self, values: tuple[str, ...], *, stream: TextIO | None = None, seconds: float = 15.0) -> None:
        self.values = values[:4]
        self.stream = stream
        self.seconds = seconds
        self._begun = self._printed = 0.0
        self._first_step = 0

    @property
    def _out(self) -> TextIO:
        return self.stream or sys.stderr

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._begun = self._printed = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Renew the line now and then."""
        terminal = self._out.isatty()
        if trainer.is_global_zero and time.monotonic() - self._printed > (0.5 if terminal else self.seconds):
            self._print(trainer, end="\r" if terminal else "\n")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print a line that stays."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            self._print(trainer, end="\n")

    def _print(self, trainer: pl.Trainer, *, end: str) -> None:
        self._printed = time.monotonic()
        line = self.line(trainer)
        if self._out.isatty():
            line = f"{bar(trainer.global_step / int(trainer.max_steps))} {line}"
        self._out.write(f"{line:<{120 if end != chr(10) else 1}}{end}")
        self._out.flush()

    def line(self, trainer: pl.Trainer) -> str:
        """Return the line."""
        done, total = trainer.global_step, int(trainer.max_steps)
        elapsed = time.monotonic() - self._begun
        rate = (done - self._first_step) / elapsed if elapsed > 0 else 0.0
        parts = [f"step {done}/{total}"]
        logged = trainer.callback_metrics
        parts += [f"{SHORT.get(name, name)} {float(logged[name]):.3f}" for name in self.values if name in logged]
        left = f"{clock((total - done) / rate)} left" if rate > 0 and done < total else f"took {clock(elapsed)}"
        return "  ".join([*parts, f"{rate:.1f} steps/s", left])


def bar(share: float, *, width: int = 20) -> str:
    """Return a share as a bar that every terminal can show."""
    full = round(min(share, 1.0) * width)
    return f"[{'#' * full}{'.' * (width - full)}]"


def clock(seconds: float) -> str:
    """Return a duration as people say it: 45 s, 3:20 min, 2:05 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)}:{int(seconds % 60):02d} min"
    return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d} h"
