"""A callback: one line on the log every so many steps."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl


@dataclass(frozen=True)
class CounterOptions:
    """Options of `StepCounter`.

    Attributes:
        every: Steps between two lines.
    """

    every: int = 100


class StepCounter(pl.Callback):
    """Say how far the training is."""

    def __init__(self, options: CounterOptions) -> None:
        self.every = options.every
        self.said = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say it when a multiple of ``every`` steps is reached."""
        if trainer.global_step % self.every == 0:
            self.said += 1
            logging.getLogger(__name__).info("step %d", trainer.global_step)
