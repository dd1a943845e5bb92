"""Stops training when the loss becomes NaN or explodes, and saves the step for inspection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from expnet.errors import ExpnetError
from expnet.training.callbacks.accumulation import batches_before
from expnet.training.callbacks.gradient_norm import GradientNorm
from expnet.training.random_state import torch_random_state
from expnet.training.saved_step import record_step
from expnet.training.shared_flags import BAD_LOSS, share_flags
from expnet.training.tasks.base_task import BaseTask

FIRST_STEPS = 10
"""Number of steps whose mean loss later losses are compared with."""


class StopOnBadLoss(pl.Callback):
    """Stop the run of an expnet task whose loss or gradient is not finite, or whose loss explodes.

    The check runs between the backward pass and the optimiser step, while the weights are still those of the loss. It
    reads a few numbers per step, for which a GPU has to finish its backward pass. All processes stop at the same step,
    which they learn with the gradients, and each saves its own batch; where gradients of several batches are added up,
    the one with the worst loss.

    In the Trainer's list this callback comes after `expnet.training.callbacks.resume.RandomState` and ``gradients``.

    Args:
        folder: Folder for step_000123.safetensors, see `expnet.training.saved_step.SavedStep`.
        gradients: The callback that measures the gradient norm.
        explosion: Stop if a loss exceeds this multiple of the mean loss of the first ten steps; 0 means never.

    Raises:
        ExpnetError: The loss or gradient is bad; raised during training.
    """

    def __init__(self, folder: Path, gradients: GradientNorm, *, explosion: float = 100.0) -> None:
        self.folder, self.gradients, self.explosion = folder, gradients, explosion
        self._first: list[float] = []
        self._batches: list[Any] = []
        self._random: list[Mapping[str, Tensor]] = []
        self._losses: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the losses of the first steps."""
        return {"first": list(self._first)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the losses of the first steps."""
        self._first = state_dict["first"]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        """Keep the batch and the random state that its loss is computed from."""
        if not batches_before(trainer):
            self._batches, self._random, self._losses = [], [], []
        self._batches.append(batch)
        self._random.append(torch_random_state())

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Keep the loss of the batch, which Lightning has divided by the number of batches that are added up."""
        whole = loss.detach().double() * trainer.accumulate_grad_batches
        self._losses.append(whole)
        share_flags(trainer).raise_flag(BAD_LOSS, ~whole.isfinite() | (whole > self._highest))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Continue or stop, the same in all processes."""
        # With loss scaling, overflowing gradients are normal: the scaler skips the step and lowers its scale.
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        bad = share_flags(trainer).exchange(trainer)[BAD_LOSS]
        *losses, norm, share = torch.stack([*self._losses, self.gradients.value.double(), bad.double()]).tolist()
        worst = max(range(len(losses)), key=lambda place: math.inf if math.isnan(losses[place]) else losses[place])
        loss = losses[worst]
        # The averaged gradient, and so its norm, is the same in all processes.
        if share > 0 or not (scaled or math.isfinite(norm)):
            assert isinstance(pl_module, BaseTask)
            self._stop(trainer, pl_module, self._reason(loss, 0.0 if scaled else norm), worst, loss, norm)
        if len(self._first) < FIRST_STEPS:
            self._first.append(loss)

    @property
    def _highest(self) -> float:
        """Highest loss that is no explosion."""
        if not self.explosion or len(self._first) < FIRST_STEPS:
            return math.inf
        return self.explosion * sum(self._first) / FIRST_STEPS

    def _reason(self, loss: float, norm: float) -> str:
        """Return what is wrong with the step."""
        if not math.isfinite(loss):
            return f"The loss became {loss}"
        if loss > self._highest:
            return f"The loss exploded to {loss:g}, from {sum(self._first) / FIRST_STEPS:.3g} in the first steps,"
        if not math.isfinite(norm):
            return f"The gradient became {norm}"
        return "Another process had to stop"

    def _stop(self, trainer: pl.Trainer, task: BaseTask, reason: str, worst: int, loss: float, norm: float) -> None:
        process = f"_process_{trainer.global_rank}" if trainer.world_size > 1 else ""
        path = self.folder / f"step_{trainer.global_step:06d}{process}.safetensors"
        batch, random = self._batches[worst], self._random[worst]
        record_step(task, batch, random, reason=reason, loss=loss, gradient_norm=norm).save(path)
        raise ExpnetError(
            f"{reason} at step {trainer.global_step} on {', '.join(batch.clip_ids)}; 'expnet replay {path}' runs "
            "the step again and shows where the problem begins. Lower optim.lr, or inspect these clips."
        )
