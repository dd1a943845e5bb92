"""The size of the gradient, before it is clipped."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer

from expnet.training.tasks.base_task import gradient_norm


class GradientNorm(pl.Callback):
    """Log ``train/gradient_norm``: Euclidean, over all trained parameters, all processes averaged, before clipping.

    Attributes:
        value: of the step at hand.
    """

    def __init__(self) -> None:
        self.value = torch.zeros(())

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Measure and log it."""
        self.value = gradient_norm(pl_module)
        pl_module.log("train/gradient_norm", self.value, batch_size=1)
