"""Validation metrics of the expression task in addition to the loss: within-clip R2 and mouth-opening correlation.

They are logged over all clips, and for each corpus or another group of clips.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from expnet.callbacks.metric_callback import MetricCallback
from expnet.data.clip_entry import ClipEntry
from expnet.metrics import ClipMetric, MouthOpeningCorrelation, WithinClipR2


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


def groups_of(entries: Sequence[ClipEntry], columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the groups of each clip, such as ``corpus_hdtf``, in which at least two groups of a column have clips.

    A name that clips of several stores share is in no group, since a batch tells clips by their names alone.

    Args:
        entries: The validation clips.
        columns: Columns of the manifest: corpus, language, emotion or speaker.
    """
    counts = Counter(entry.row.clip_id for entry in entries)
    groups: dict[str, list[str]] = {name: [] for name, count in counts.items() if count == 1}
    for column in columns:
        values = {entry.row.clip_id: str(getattr(entry.row, column)) for entry in entries}
        if len(set(values.values())) > 1:
            for name in groups:
                # Dashboards take letters, digits, underscores and hyphens.
                groups[name].append(f"{column}_{re.sub(r'[^A-Za-z0-9_-]', '_', values[name]) or 'none'}")
    return groups


class GroupScores(MetricCallback):
    """Log the scores of `ExpressionScores` for groups of clips, as ``val/GROUP/within_clip_r2``.

    Args:
        metric: (E, E) weights of the coefficients, `MorphableModel.expression_metric`.
        groups: Groups of each clip, by its name; see `groups_of`.
    """

    def __init__(self, metric: Tensor, groups: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.groups = groups
        self._of_group: dict[str, tuple[ClipMetric, ClipMetric]] = {}
        for group in sorted({name for names in groups.values() for name in names}):
            both = (WithinClipR2(metric=metric, metric_name="face_model"), MouthOpeningCorrelation())
            for measure in both:
                measure.name = f"{group}/{measure.name}"
            self._of_group[group] = both
        self.measures = [measure for both in self._of_group.values() for measure in both]

    @property
    def state_key(self) -> str:
        """Key of this callback's state in a checkpoint, whatever the groups are."""
        return type(self).__qualname__

    def update(self, pl_module: pl.LightningModule, outputs: Any, batch: Any) -> None:
        """Score a batch of whole clips once, and add each clip to its groups."""
        if not outputs.valid.any():
            return  # this process has no clip to evaluate
        motion, mouth = next(iter(self._of_group.values()))
        of_motion = motion.score(outputs.predicted, outputs.target, valid=outputs.valid)
        of_mouth = mouth.score(outputs.landmarks, outputs.target_landmarks, valid=outputs.valid)
        for place, clip_id in enumerate(outputs.clip_ids):
            for group in self.groups.get(clip_id, ()):
                for metric, (values, weights) in zip(self._of_group[group], (of_motion, of_mouth), strict=True):
                    metric.accumulate(values.reshape(-1)[place], weights.reshape(-1)[place])
