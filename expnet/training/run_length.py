"""How long a run is: the steps of its epochs, and the callbacks that end it earlier."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, Timer

from expnet.callbacks.monitored_checkpoint import source_of
from expnet.config import TrainerConfig
from expnet.training.callbacks.accumulation import batches_before
from expnet.training.hardware import processes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expnet.data.datamodule import TalkingFaceDataModule

_log = logging.getLogger(__name__)


def with_steps(options: TrainerConfig, data: TalkingFaceDataModule) -> TrainerConfig:
    """Return the options with ``max_steps`` set to the steps of ``max_epochs``, where that is given."""
    if options.max_epochs is None:
        return options
    return replace(
        options, max_steps=options.max_epochs * data.steps_per_epoch(processes_of(options), options.accumulate)
    )


class TimeLimit(Timer):
    """End a run after a step when its time is up; all resumed parts of the run count.

    Args:
        duration: DD:HH:MM:SS.
    """

    def __init__(self, duration: str) -> None:
        super().__init__(duration, verbose=False)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Look at the clock after every step, but not between batches whose gradients are added up."""
        if (batches_before(trainer) + 1) % trainer.accumulate_grad_batches:
            return
        super().on_train_batch_end(trainer, *args, **kwargs)
        if trainer.should_stop and trainer.is_global_zero:
            _log.warning("Ends after step %d, as trainer.max_time is over.", trainer.global_step)


class StopWithoutProgress(EarlyStopping):
    """End a run when its monitored score has not become better for some validations in a row.

    A validation that does not measure the score does not count. A resumed run takes the patience of its own
    configuration, and one that had been stopped stops again.

    Args:
        monitor: Name of the score.
        patience: Validations to wait for a better score.
        callbacks: Callbacks of the run, one of which logs the score; none for a loss, which the task logs.
    """

    def __init__(self, monitor: str, *, patience: int, callbacks: Sequence[pl.Callback] = ()) -> None:
        self._source = source_of(monitor, callbacks) if callbacks else None
        rises = self._source is not None and self._source.higher_is_better(monitor)
        super().__init__(monitor, patience=patience, mode="max" if rises else "min", check_on_train_epoch_end=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score and the validations since then, with the patience of this run."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once if the run had been stopped before."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the score of this validation, if it was measured."""
        if self._source is not None and not self._source.due:
            return
        super().on_validation_end(trainer, pl_module)
        if trainer.should_stop and trainer.is_global_zero:
            _log.warning(
                "Ends after step %d, as %s has not become better in %d validations (trainer.early_stopping).",
                trainer.global_step,
                self.monitor,
                self.wait_count,
            )
