"""Validation metrics of a motion drawn with a fixed seed: does the mouth follow the audio, and move like a real one?"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from expnet.metrics import JitterRatio, MouthOpeningCorrelation
from expnet.training.tasks.expression_scores import ExpressionScores


class MotionScores(ExpressionScores):
    """Log ``val/mouth_opening_correlation``, ``val/jitter_ratio`` and the number of clips that they average over.

    `expnet.training.tasks.motion_task.MotionTask` brings this callback along if it draws the expression. The scores are
    those of one sample of each clip.
    """

    def __init__(self) -> None:
        super(ExpressionScores, self).__init__()
        self.measures = [MouthOpeningCorrelation(), JitterRatio()]

    def update(self, pl_module: pl.LightningModule, outputs: Any, batch: Any) -> None:
        """Score a batch of whole clips from landmarks; nothing is rendered."""
        if not outputs.valid.any():
            return  # this process has no clip to evaluate
        for metric in self.metrics:
            metric.update(outputs.landmarks, outputs.target_landmarks, valid=outputs.valid)
