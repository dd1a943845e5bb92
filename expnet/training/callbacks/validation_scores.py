"""What a validation says beside the loss: motion explained, and whether the mouth opens when it should."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from expnet.callbacks.metric_callback import MetricCallback
from expnet.metrics import MouthOpeningCorrelation, WithinClipR2


class ExpressionScores(MetricCallback):
    """Log ``val/within_clip_r2``, ``val/mouth_opening_correlation`` and the number of clips behind them.

    The same metrics as the evaluation's, from the `expnet.training.tasks.base_task.StepOutput` of each validation step.

    Args:
        metric: (E, E) weights of the coefficients, `MorphableModel.expression_metric`.
    """

    count_as = "clips"

    def __init__(self, metric: Tensor) -> None:
        super().__init__()
        self.measures = [WithinClipR2(metric=metric, metric_name="face_model"), MouthOpeningCorrelation()]

    def update(self, pl_module: pl.LightningModule, outputs: Any, batch: Any) -> None:
        """Score a batch of whole clips: coefficients, which need no picture."""
        motion, mouth = self.metrics
        motion.update(outputs.predicted, outputs.target, valid=outputs.valid)
        mouth.update(outputs.landmarks, outputs.target_landmarks, valid=outputs.valid)
