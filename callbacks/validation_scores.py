"""What a validation says beside the loss: motion explained, and whether the mouth opens when it should."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from expnet.metrics import ClipMetric, MouthOpeningCorrelation, WithinClipR2


class ExpressionScores(pl.Callback):
    """Log ``val/within_clip_r2``, ``val/mouth_opening_correlation`` and the number of clips behind them.

    The same metrics as the evaluation's, from the `expnet.tasks.base.StepOutput` of each validation step.

    Args:
        metric: (E, E) weights of the coefficients, `MorphableModel.expression_metric`.
    """

    def __init__(self, metric: Tensor) -> None:
        self.metrics: dict[str, ClipMetric] = {
            "within_clip_r2": WithinClipR2(metric=metric, metric_name="face_model"),
            "mouth_opening_correlation": MouthOpeningCorrelation(),
        }

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting."""
        for score in self.metrics.values():
            score.reset()
            score.to(pl_module.device)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score a batch of whole clips."""
        self.metrics["within_clip_r2"].update(outputs.predicted, outputs.target, valid=outputs.valid)
        self.metrics["mouth_opening_correlation"].update(
            outputs.landmarks, outputs.target_landmarks, valid=outputs.valid
        )

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the scores of all processes."""
        for name, score in self.metrics.items():
            # compute() has added up the processes already: the mean of equal numbers changes nothing
            pl_module.log(f"val/{name}", score.compute().float(), sync_dist=True)
        clips = self.metrics["within_clip_r2"].clips.clone()
        if trainer.world_size > 1:
            clips = trainer.strategy.reduce(clips, reduce_op="sum")
        pl_module.log("val/clips", torch.as_tensor(clips).float(), sync_dist=True)
