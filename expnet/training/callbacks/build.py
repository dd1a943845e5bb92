"""The callbacks that a training configuration asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from expnet.callbacks.image_quality import FrechetCallback, LpipsCallback
from expnet.callbacks.landmark_distance import LandmarkDistanceCallback
from expnet.callbacks.monitored_checkpoint import MonitoredCheckpoint
from expnet.callbacks.samples import SamplesCallback
from expnet.callbacks.syncnet import SyncNetCallback
from expnet.config import Config
from expnet.data.dataset import ClipEntry
from expnet.face.morphable import load_face_model
from expnet.training.callbacks.bad_loss import StopOnBadLoss
from expnet.training.callbacks.gradient_norm import GradientNorm
from expnet.training.callbacks.preemption import LastCheckpoint
from expnet.training.callbacks.run_artifacts import RunArtifacts
from expnet.training.callbacks.staged_samples import StagedSamples
from expnet.training.callbacks.throughput import Throughput
from expnet.training.run_folder import RunDirectory
from expnet.training.tasks.base_task import BaseTask
from expnet.training.tasks.build import monitored


def build_metric_callbacks(config: Config, validation: list[ClipEntry], folder: Path) -> list[pl.Callback]:
    """Make the callbacks over rendered validation clips: those of ``config.metrics``, sharing their renderings.

    Args:
        config: of the run.
        validation: clips of the validation split, the same in every process.
        folder: where samples go.
    """
    options = config.metrics
    if not (options.renders and validation):
        return []
    clips = spread_clips(validation, options.clips)
    model = load_face_model(config.face_model)
    samples = StagedSamples(validation, clips, model, predicts=config.task, frames=options.frames)
    schedule: dict[str, Any] = {"samples": samples, "every": options.every, "clips": clips}
    scored: dict[str, Any] = {**schedule, "strict": options.strict}
    compared: dict[str, Any] = {**scored, "stride": options.stride}
    callbacks: list[pl.Callback] = []
    if options.landmark_distance:
        callbacks.append(LandmarkDistanceCallback(**scored))
    if options.lpips:
        callbacks.append(LpipsCallback(options.backbone_weights, backbone=options.backbone, **compared))
    if options.fid:
        callbacks.append(FrechetCallback(options.inception_weights, **compared))
    if options.sync:
        callbacks.append(SyncNetCallback(options.syncnet_weights, **scored))
    if options.samples:
        callbacks.append(SamplesCallback(folder, **schedule))
    return callbacks


def build_watchers(config: Config, run: RunDirectory, task: BaseTask, resume_step: int | None) -> list[pl.Callback]:
    """Make what watches every step, and what tells the dashboards what the run is made of."""
    gradients = GradientNorm()
    return [
        gradients,
        StopOnBadLoss(run.path / "failure", gradients, explosion=config.trainer.explosion),
        Throughput(run.path / "speed.csv", resume_step=resume_step),
        RunArtifacts(run.path, task.notes["data"]),
    ]


def spread_clips(entries: list[ClipEntry], count: int) -> frozenset[str]:
    """Names of ``count`` clips, evenly spread; of two stores' clips of one name, which cannot be told apart, none."""
    counts = Counter(entry.row.clip_id for entry in entries)
    unique = [name for name, count in counts.items() if count == 1]
    places = np.unique(np.linspace(0, len(unique) - 1, min(count, len(unique))).round().astype(int))
    return frozenset(unique[place] for place in places)


def build_checkpoints(
    config: Config, run: RunDirectory, task: BaseTask, scores: Sequence[pl.Callback], *, validate: bool
) -> list[pl.Callback]:
    """Keep the best weights by a loss or a score, and the last: after each validation, and when asked to leave."""
    shared: dict[str, Any] = {
        "dirpath": run.checkpoints,
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
    }
    if not validate:
        return [LastCheckpoint(run.last, every=config.trainer.validate_every)]
    options = {"filename": "best", "monitor": monitored(config, task), **shared}
    is_loss = options["monitor"] in {f"val/{name}" for name in task.sums}
    best = ModelCheckpoint(mode="min", **options) if is_loss else MonitoredCheckpoint(callbacks=scores, **options)
    # Second in the list, so that it knows of the best one.
    return [best, ModelCheckpoint(filename="last", save_on_train_epoch_end=False, **shared), LastCheckpoint(run.last)]
