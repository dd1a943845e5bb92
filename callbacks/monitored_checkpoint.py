"""The best checkpoint by any validation metric; the metric knows which direction is better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from expnet.callbacks.metric_callback import MetricCallback
from expnet.errors import ConfigError


class MonitoredCheckpoint(ModelCheckpoint):
    """Keep the checkpoint with the best value that a `MetricCallback` logs.

    A validation that does not measure the value saves nothing. Lightning would compare the new weights by the value of
    an older validation or, right after a resume, would find none and stop the run. The monitored callback becomes
    ``strict``, so that a missing weight file stops the run: without the value there would be no best checkpoint.

    Args:
        monitor: Name of the value, such as ``val/lpips``.
        callbacks: Callbacks of the Trainer, one of which logs the value.
        **options: Arguments of ``ModelCheckpoint``.

    Raises:
        ConfigError: No callback logs the value, or neither higher nor lower is better.
    """

    def __init__(self, monitor: str, callbacks: Iterable[pl.Callback], **options: Any) -> None:
        self.source = source_of(monitor, callbacks)
        self.source.strict = True
        mode = "max" if self.source.higher_is_better(monitor) else "min"
        super().__init__(monitor=monitor, mode=mode, **{"save_on_train_epoch_end": False, **options})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if this validation measured the value."""
        if self.source.due:
            super().on_validation_end(trainer, pl_module)


def source_of(monitor: str, callbacks: Iterable[pl.Callback]) -> MetricCallback:
    """Return the callback that logs a value which can be maximised or minimised.

    Raises:
        ConfigError: No callback logs it, or neither higher nor lower is better.
    """
    known: dict[str, MetricCallback] = {}
    for callback in callbacks:
        if isinstance(callback, MetricCallback):
            known |= {f"val/{measure.name}": callback for measure in callback.measures}
    ordered = [name for name, callback in known.items() if callback.higher_is_better(name) is not None]
    choice = f"monitor a loss or one of {', '.join(ordered)}" if ordered else "monitor a loss"
    if monitor not in known:
        raise ConfigError(f"{monitor} is not measured in this run; {choice}.")
    if monitor not in ordered:
        raise ConfigError(
            f"{monitor} is neither maximised nor minimised, so no checkpoint is the best by it; {choice}."
        )
    return known[monitor]
