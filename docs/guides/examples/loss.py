"""A loss term of one's own: the error of the acceleration of the landmarks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from expnet.config import load_config
from expnet.data.batch import FaceBatch
from expnet.face.morphable import load_face_model
from expnet.training.losses import landmark_loss
from expnet.training.main import build_data
from expnet.training.tasks.base_task import StepOutput, WeightedMean
from expnet.training.tasks.expression_task import ExpressionTask


class AccelerationTask(ExpressionTask):
    """The expression task with one more term.

    Args:
        acceleration_weight: Weight of the term.
        **options: Arguments of `ExpressionTask`.
    """

    def __init__(self, *, acceleration_weight: float = 0.1, **options: Any) -> None:
        super().__init__(**options)
        self.acceleration_weight = acceleration_weight
        self.sums["acceleration_loss"] = WeightedMean()  # logs val/acceleration_loss over all processes

    def losses(self, predicted: Tensor, batch: FaceBatch, valid: Tensor) -> tuple[dict[str, Tensor], StepOutput]:
        """Return the loss and its terms, and what callbacks need."""
        losses, output = super().losses(predicted, batch, valid)
        landmarks = self.landmarks(batch.identity, predicted).diff(n=2, dim=1)  # (B, T - 2, 68, 3)
        target = self.landmarks(batch.identity, batch.expression).diff(n=2, dim=1)
        triple = valid[:, 2:] & valid[:, 1:-1] & valid[:, :-2]
        term = landmark_loss(landmarks, target, self.landmark_weights, triple) / self.landmark_scale
        return {**losses, "loss": losses["loss"] + self.acceleration_weight * term, "acceleration_loss": term}, output


def train(store: str, *, steps: int = 1000) -> pl.LightningModule:
    """Train the expression network with this term on a track store."""
    config = load_config(["configs/expression.yaml", f"data.store={store}", f"trainer.max_steps={steps}"])
    data = build_data(config)
    task = AccelerationTask(
        options={"width": config.model.width, "layers": config.model.layers, "dropout": config.model.dropout},
        loss=asdict(config.loss),
        optim=asdict(config.optim),
        augment=asdict(config.augment),
        max_steps=steps,
        face_model=load_face_model(config.face_model),
        statistics=data.statistics,
    )
    trainer = pl.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, use_distributed_sampler=False
    )
    trainer.fit(task, datamodule=data)
    return task
