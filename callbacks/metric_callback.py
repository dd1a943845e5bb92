"""Base classes of the validation callbacks: they decide which validations, clips and processes take part."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from expnet.callbacks.clip_sample import ClipSample, SampleSource, samples_of_outputs
from expnet.errors import ConfigError, MissingAssetError
from expnet.metrics import ClipMetric, Extractor, NamedMetric

_log = logging.getLogger(__name__)


class ValidationCallback(pl.Callback):
    """Process some clips of some validations.

    The callback takes part in the first validation of a run and in every ``every``-th after it. The count is part of
    the checkpoint, so a resumed run takes part in the same validations. It always takes part in ``Trainer.validate``
    and never in Lightning's sanity check.

    Args:
        samples: Function that makes the `ClipSample` objects from the output of ``validation_step`` and its batch. The
            default takes ``outputs.samples`` or ``outputs["samples"]``.
        every: Number of validations from one in which the callback takes part to the next.
        clips: Names of the clips to process, the same in every process. None means all clips. Each process sees its
            own share of the data, which must not be padded, see `warn_of_repeated_clips`.

    Raises:
        ConfigError: ``every`` is less than 1.
    """

    def __init__(
        self, *, samples: SampleSource | None = None, every: int = 1, clips: Collection[str] | None = None
    ) -> None:
        if every < 1:
            raise ConfigError(f"every must be at least 1 validation, got {every}.")
        self.samples = samples or samples_of_outputs
        self.every = every
        self.clips = None if clips is None else frozenset(clips)
        self.due = False
        """Whether the callback takes part in the current, or else the last, validation."""
        self.seen = 0
        """Number of clips that this process handled in that validation."""
        self._validations = 0

    def is_on(self, trainer: pl.Trainer) -> bool:
        """Whether the callback runs in this process at all."""
        return True

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start a validation in which the callback takes part."""

    def add(self, sample: ClipSample) -> None:
        """Process one clip, whose tensors are on the module's device."""

    def finish(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End a validation in which the callback took part."""

    def state_dict(self) -> dict[str, Any]:
        """Return the number of validations so far."""
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of validations."""
        self._validations = state_dict["validations"]

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Decide whether to take part in this validation."""
        scheduled = trainer.state.fn != TrainerFn.FITTING or self._validations % self.every == 0
        self.due = scheduled and not trainer.sanity_checking and self.is_on(trainer)
        if self.due:
            self.seen = 0
            warn_of_repeated_clips(trainer)
            with full_precision_of(pl_module):
                self.begin(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Process the clips of a batch."""
        if self.due:
            with full_precision_of(pl_module):
                self.update(pl_module, outputs, batch)

    def update(self, pl_module: pl.LightningModule, outputs: Any, batch: Any) -> None:
        """Make the samples of a batch and process those that are asked for."""
        for sample in self.samples(outputs, batch):
            if self.clips is None or sample.clip_id in self.clips:
                self.add(sample.to(pl_module.device))
                self.seen += 1

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Finish if the callback took part, and count the validation."""
        if self.due:
            with full_precision_of(pl_module):
                self.finish(trainer, pl_module)
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._validations += 1


class MetricCallback(ValidationCallback):
    """Score validation clips with metrics across all processes; log ``val/NAME`` and ``val/NAME_clips``.

    A subclass lists in ``measures`` what it logs, makes the metrics in ``open`` and updates them in ``add``. Every
    process resets, updates and computes, even one without a clip. ``compute`` sums over processes, so all of them log
    the same value. Metrics and networks belong to the callback, not to the module: they enter no checkpoint, are not
    cast with the module, run outside autocast, and leave the device after the validation.

    Args:
        strict: Stop if a weight file is missing in any process, instead of continuing without these metrics.
        **schedule: Arguments of `ValidationCallback`: ``samples``, ``every``, ``clips``.

    Attributes:
        measures: Metrics, or metric classes, whose ``name`` and ``higher_is_better`` are known before ``open``.
        metrics: The metrics in use; empty before the trainer is set up, or if a weight file is missing.
        values: The values logged last, by name.
    """

    measures: Sequence[NamedMetric | type[NamedMetric]] = ()
    count_as = "{name}_clips"
    """Name, after ``val/``, under which the number of scored clips is logged."""

    def __init__(self, *, strict: bool = False, **schedule: Any) -> None:
        super().__init__(**schedule)
        self.strict = strict
        self.metrics: tuple[NamedMetric, ...] = ()
        self.values: dict[str, float] = {}
        self._opened = False

    @property
    def state_key(self) -> str:
        """Key of this callback's state in a checkpoint; it tells callbacks of one class with other metrics apart."""
        return f"{type(self).__qualname__}({', '.join(measure.name for measure in self.measures)})"

    def open(self) -> Sequence[NamedMetric]:
        """Return the metrics to use.

        Raises:
            MissingAssetError: A weight file is missing.
        """
        return [measure for measure in self.measures if isinstance(measure, NamedMetric)]

    def higher_is_better(self, name: str) -> bool | None:
        """Return the direction of a logged value; None if neither higher nor lower is better.

        Raises:
            KeyError: This callback does not log the value.
        """
        return {f"val/{measure.name}": measure.higher_is_better for measure in self.measures}[name]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the metrics in all processes or in none."""
        if self._opened:
            return
        problem = ""
        try:
            self.metrics = tuple(self.open())
        except MissingAssetError as error:
            problem = str(error)
        missing = first_message_of_all_processes(problem)
        if missing and self.strict:
            raise MissingAssetError(missing)
        if missing:
            self.metrics = ()
            if trainer.is_global_zero:
                names = ", ".join(f"val/{measure.name}" for measure in self.measures)
                _log.warning("%s will not be measured: %s", names, missing)
        self._opened = True
        _silence_sync_dist_advice()

    def is_on(self, trainer: pl.Trainer) -> bool:
        """Whether there are metrics to compute; the answer is the same in every process."""
        return bool(self.metrics)

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reset the metrics and move them to the module's device."""
        for metric in self.metrics:
            metric.reset()
            metric.to(pl_module.device)

    def finish(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compute and log the values over all processes, then free the device's memory."""
        logged: dict[str, Tensor] = {}
        stage = "test" if trainer.testing else "val"
        for metric in self.metrics:
            logged[f"{stage}/{metric.name}"] = metric.compute()
            local = metric.clips if isinstance(metric, ClipMetric) else torch.tensor(self.seen)
            clips = trainer.strategy.reduce(local.clone().to(pl_module.device), reduce_op="sum")
            logged[f"{stage}/{self.count_as.format(name=metric.name)}"] = torch.as_tensor(clips)
        self.values = {name: float(value) for name, value in logged.items()}
        for name, value in self.values.items():
            # Values are over all processes already; sync_dist would only average equal numbers.
            pl_module.log(name, value, on_step=False, on_epoch=True, sync_dist=False, batch_size=1)
        for extractor in self.extractors:
            extractor.release()

    @property
    def extractors(self) -> tuple[Extractor, ...]:
        """Networks that the metrics use."""
        found = (getattr(metric, "extractor", None) for metric in self.metrics)
        return tuple(extractor for extractor in found if isinstance(extractor, Extractor))


def first_message_of_all_processes(message: str) -> str:
    """Return, in every process, the non-empty message of the lowest rank, or an empty string."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return message
    messages: list[Any] = [""] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(messages, message)
    return next((found for found in messages if found), "")


def warn_of_repeated_clips(trainer: pl.Trainer) -> None:
    """Warn if the sampler repeats clips to give all processes equally many, as Lightning's own sampler does."""
    loaders = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
    for loader in loaders if isinstance(loaders, list) else [loaders]:
        # In torch's DistributedSampler, total_size counts the clips with repetitions.
        if getattr(getattr(loader, "sampler", None), "total_size", 0) > len(getattr(loader, "dataset", ())):
            rank_zero_warn(
                "The distributed sampler repeats validation clips, which then count twice in every metric; use "
                "Trainer(use_distributed_sampler=False) and a sampler that splits the clips without padding, such as "
                "expnet.data.sampling.ShardSampler."
            )


@contextmanager
def full_precision_of(pl_module: pl.LightningModule) -> Iterator[None]:
    """Disable autocast and gradients, since metrics must not depend on the precision of the training."""
    with torch.no_grad(), torch.autocast(pl_module.device.type, enabled=False):
        yield


def _silence_sync_dist_advice() -> None:
    """Suppress Lightning's advice to average values over processes, which are equal in all of them already."""
    warnings.filterwarnings("ignore", message=r"It is recommended to use `self\.log\('(val|test)/.*sync_dist=True")
