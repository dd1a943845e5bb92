"""Logs the norm of the gradient before clipping, and the learning rate."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer

from expnet.training.tasks.base_task import gradient_norm


class GradientNorm(pl.Callback):
    """Log ``train/gradient_norm``: the Euclidean norm over all trained parameters, before clipping.

    The gradient is the average over all processes.

    Attributes:
        value: Gradient norm of the current step, a scalar tensor.
    """

    def __init__(self) -> None:
        self.value = torch.zeros(())

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Measure and log the norm."""
        self.value = gradient_norm(pl_module)
        pl_module.log("train/gradient_norm", self.value, batch_size=1)


class LearningRate(pl.Callback):
    """Log ``train/learning_rate``: that of the first group of parameters at the step."""

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Log the rate."""
        pl_module.log("train/learning_rate", float(optimizer.param_groups[0]["lr"]), batch_size=1)
