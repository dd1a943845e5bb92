"""Validation metrics of the expression task in addition to the loss: within-clip R2 and mouth-opening correlation."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from expnet.callbacks.metric_callback import MetricCallback
from expnet.metrics import MouthOpeningCorrelation, WithinClipR2


class ExpressionScores(MetricCallback):
    """Log ``val/within_clip_r2``, ``val/mouth_opening_correlation`` and the number of clips that they average over.

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
        motion.update(outputs.predicted, outputs.target, valid=outputs.valid)
        mouth.update(outputs.landmarks, outputs.target_landmarks, valid=outputs.valid)
