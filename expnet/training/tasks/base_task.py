"""The base of all tasks: optimiser, schedule, averaged weights, and validation losses exact on many processes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from expnet.config import AugmentConfig, OptimConfig
from expnet.models.saved_model import HEADER, model_header
from expnet.training.tasks.optimizers import build_optimizer, schedule_of


@dataclass(frozen=True)
class StepOutput:
    """Predictions of a validation step for one batch of whole clips, which callbacks score.

    Attributes:
        predicted: (B, T, 64) expression, or (B, T, 6) pose relative to the first frame.
        target: The same coefficients of the real clips.
        valid: (B, T) bool, true for real frames, false for padding and interpolated frames.
        clip_ids: Names of the clips.
        landmarks: (B, T, 68, 3) landmarks of the prediction, in face units and without head motion; None for poses.
        target_landmarks: (B, T, 68, 3) landmarks of the real clips' coefficients; None for poses.
    """

    predicted: Tensor
    target: Tensor
    valid: Tensor
    clip_ids: tuple[str, ...]
    landmarks: Tensor | None = None
    target_landmarks: Tensor | None = None

    def to(self, device: torch.device | str) -> StepOutput:
        """Return a copy on another device; ``Trainer.predict`` keeps its results on the CPU this way."""
        parts = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in parts.items()}
        return dataclasses.replace(self, **moved)


class WeightedMean(Metric):
    """Weighted mean over the clips of all processes, from a sum and a total weight: clips differ in length.

    torchmetrics' MeanMetric is not used because it ignores the weights with ``nan_strategy="disable"`` (1.9.0).
    """

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: Tensor) -> None:
        """Add a mean over ``weight`` frames; over none, any value counts as nothing, NaN included."""
        # Not in place: the states of a module that was validated before it is trained are inference tensors.
        self.total = self.total + torch.where(weight > 0, value.detach().double() * weight, 0.0)
        self.weight = self.weight + weight

    def compute(self) -> Tensor:
        """Return the mean; NaN if nothing was added."""
        return (self.total / self.weight).float()


class Total(Metric):
    """Sum of counts over all processes: the n of a score. Kept in float64, which is exact beyond 2^24."""

    full_state_update = False
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, count: Tensor | int) -> None:
        """Add a count."""
        self.total = self.total + count

    def compute(self) -> Tensor:
        """Return the sum."""
        return self.total


class BaseTask(pl.LightningModule):
    """A network, the moving average of its weights, and its optimiser.

    A validation logs each loss as ``val/NAME``, averaged over the frames of all processes, and their number as
    ``val/frames``; ``Trainer.test`` logs the same values as ``test/NAME``. Both use the averaged weights.

    Attributes:
        monitor: Name of the logged value that chooses the best checkpoint: ``ModelCheckpoint(task.monitor, ...)``.
        monitor_mode: Whether that value is to be minimised or maximised, ``min`` or ``max``.
        optim_schema: Schema of the option ``optim``.

    Args:
        model: The network to train.
        optim: Values of `OptimConfig` as a plain dict.
        augment: Values of `AugmentConfig` as a plain dict.
        max_steps: Optimiser steps of the whole run, for the learning rate schedule.
        losses: Names of the losses of a validation.
    """

    monitor = "val/loss"
    monitor_mode = "min"
    optim_schema: type[OptimConfig] = OptimConfig
    averages: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        optim: dict[str, Any],
        augment: dict[str, Any],
        max_steps: int,
        losses: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.model = model
        self.optim = self.optim_schema(**optim)
        self.augment = AugmentConfig(**augment)
        self.max_steps = max_steps
        # Provenance that checkpoints carry, in plain values: see `describe_training`.
        self.notes: dict[str, Any] = {}
        # A submodule, and not kept by a callback: it is in the state dict, so a resumed run has the same average.
        self.averaged = copy.deepcopy(model).requires_grad_(False) if self.optim.ema else None
        self.register_buffer("averages", torch.zeros((), dtype=torch.long))
        self.sums = nn.ModuleDict({name: WeightedMean() for name in losses})
        self.frames = Total()
        self._validation: dict[str, float] = {}

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and exported: the one with averaged weights, if there is one."""
        return self.model if self.averaged is None else self.averaged

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Take a step, and move the averaged weights towards the trained ones.

        The two belong together: a checkpoint that any callback saves after the step has the average of that step, and
        accumulated gradients are averaged once, when the weights move.
        """
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.averaged is not None:
            self.averages += 1
            update_average(self.averaged, self.model, decay=self.optim.ema, step=int(self.averages))

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        """Log the losses of a validation batch, with averaged weights, and return what callbacks score."""
        return self.evaluate_batch(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        """Log the losses of a test batch, with averaged weights, and return what callbacks score."""
        return self.evaluate_batch(batch, "test")

    def evaluate_batch(self, batch: Any, stage: str) -> Any:
        """Log the losses of a batch of whole clips under the name of the stage, ``val`` or ``test``.

        Returns:
            What callbacks score, a `StepOutput`; None if there is nothing for them.
        """
        raise NotImplementedError

    def full_precision(self) -> torch.autocast:
        """Disable mixed precision, which is for the network in training: losses and validation use full precision."""
        return torch.autocast(self.device.type, enabled=False)

    def log_losses(self, losses: dict[str, Tensor], valid: Tensor, stage: str = "val") -> None:
        """Add the losses of an evaluated batch, weighted by its valid frames, to the means that are logged."""
        count = valid.sum()
        for name, value in losses.items():
            metric = self.sums[name]
            assert isinstance(metric, WeightedMean)
            metric.update(value, count)
            self.log(f"{stage}/{name}", metric, on_step=False, on_epoch=True)
        self.frames.update(count)
        self.log(f"{stage}/frames", self.frames, on_step=False, on_epoch=True)

    def configure_optimizers(self) -> Any:
        """Return the configured optimiser, with weight decay on matrices, and its learning rate schedule."""
        return schedule_of(build_optimizer(self, self.optim), self.optim, self.max_steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the header of expnet to the checkpoint, in plain values that weights-only loading accepts."""
        checkpoint[HEADER] = model_header(self.model, self.notes_now())

    def notes_now(self) -> dict[str, Any]:
        """Return the notes with the current step and the scores of the latest validation."""
        logged = {name: float(value) for name, value in self.trainer.callback_metrics.items() if name[:4] == "val/"}
        return {**self.notes, "step": self.global_step, "validation": self._validation | logged}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the scores of the latest validation, which the Trainer of a resumed run does not know.

        A task that has no notes of its own, as after ``load_from_checkpoint``, takes those of the checkpoint.
        """
        notes = checkpoint[HEADER]["notes"]
        self._validation = notes["validation"]
        self.notes = self.notes or {name: value for name, value in notes.items() if name not in ("step", "validation")}


def at_least_float32(value: Tensor) -> Tensor:
    """Convert 16-bit floats, which mixed precision produces, to float32; return other tensors unchanged."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value


def gradient_norm(module: nn.Module) -> Tensor:
    """Return the Euclidean norm of all gradients of a module, a scalar; 0 if there are none."""
    norms = [torch.linalg.vector_norm(value.grad) for value in module.parameters() if value.grad is not None]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())


def update_average(average: nn.Module, model: nn.Module, *, decay: float, step: int) -> None:
    """Update the moving average of weights: ``a <- d a + (1 - d) w`` with ``d = min(decay, (1 + step) / (10 + step))``.

    The smaller decay at the start lets the average forget the untrained weights. Buffers are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for kept, new in zip(average.parameters(), model.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - decay)
        for kept_buffer, new_buffer in zip(average.buffers(), model.buffers(), strict=True):
            kept_buffer.copy_(new_buffer)
