"""Validation metrics of the expression task in addition to the loss: within-clip R2 and mouth-opening correlation."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from expnet.callbacks.metric_callback import MetricCallback
from expnet.metrics import MouthOpeningCorrelation, WithinClipR2


class ExpressionScores(MetricCallback):
    """Log ``val/within_clip_r2``, ``val/mouth_opening_correlation`` and the number of clips that they average over.

    ``Trainer.test`` logs the same values as ``test/...``. `expnet.training.tasks.expression_task.ExpressionTask` brings
    this callback along, since the first value chooses its best checkpoint.

    They are the metrics of the evaluation, computed from the `expnet.training.tasks.base_task.StepOutput` of each
    validation step.

    Args:
        metric: (E, E) weights of the coefficients, `MorphableModel.expression_metric`.
    """

    count_as = "clips"

    def __init__(self, metric: Tensor) -> None:
        super().__init__()
        self.measures = [WithinClipR2(metric=metric, metric_name="face_model"), MouthOpeningCorrelation()]

    def update(self, pl_module: pl.LightningModule, outputs: Any, batch: Any) -> None:
        """Score a batch of whole clips from coefficients and landmarks; nothing is rendered."""
        motion, mouth = self.metrics
        if not outputs.valid.any():
            return  # this process has no clip to evaluate
        motion.update(outputs.predicted, outputs.target, valid=outputs.valid)
        mouth.update(outputs.landmarks, outputs.target_landmarks, valid=outputs.valid)

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score tests as validations."""
        self.on_validation_epoch_start(trainer, pl_module)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score the clips of a test batch."""
        self.on_validation_batch_end(trainer, pl_module, outputs, batch, batch_idx, dataloader_idx)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the scores of a test."""
        self.on_validation_epoch_end(trainer, pl_module)
