"""The callbacks that a training configuration asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from expnet.callbacks.clip_sample import SampleSource
from expnet.callbacks.image_quality import FrechetCallback, LpipsCallback
from expnet.callbacks.landmark_distance import LandmarkDistanceCallback
from expnet.callbacks.samples import SamplesCallback
from expnet.callbacks.syncnet import SyncNetCallback
from expnet.config import Config, RendererConfig
from expnet.data.clip_entry import ClipEntry
from expnet.data.even_spacing import evenly_spaced
from expnet.face.morphable import load_face_model
from expnet.render.open_renderer import open_renderer
from expnet.training.callbacks.bad_loss import StopOnBadLoss
from expnet.training.callbacks.gradient_norm import GradientNorm, LearningRate
from expnet.training.callbacks.kept_checkpoints import KeptCheckpoint, KeptMonitoredCheckpoint, PeriodicCheckpoints
from expnet.training.callbacks.preemption import LastCheckpoint
from expnet.training.callbacks.rendered_clips import RenderedClips
from expnet.training.callbacks.rendered_samples import RenderedSamples
from expnet.training.callbacks.run_artifacts import RunArtifacts
from expnet.training.callbacks.run_checkpoint import MonitoredRunCheckpoint, RunCheckpoint
from expnet.training.callbacks.throughput import Throughput
from expnet.training.hardware import local_device
from expnet.training.run_folder import RunDirectory
from expnet.training.run_length import StopWithoutProgress, TimeLimit
from expnet.training.tasks.base_task import BaseTask
from expnet.training.tasks.build import monitored


def build_metric_callbacks(config: Config, validation: list[ClipEntry], folder: Path) -> list[pl.Callback]:
    """Return the callbacks of ``config.metrics``, which score rendered validation clips and share the renderings.

    Args:
        config: Configuration of the run.
        validation: Clips of the validation split, the same in every process.
        folder: Folder for the samples.
    """
    options = config.metrics
    if not (options.renders and validation):
        return []
    clips = spread_clips(validation, options.clips)
    samples = _sample_source(config, validation, clips)
    schedule: dict[str, Any] = {"samples": samples, "every": options.every, "clips": clips}
    of_clips: dict[str, Any] = {**schedule, "strict": options.strict}
    of_frames: dict[str, Any] = {**of_clips, "stride": options.stride}
    callbacks: list[pl.Callback] = []
    if options.landmark_distance:
        callbacks.append(LandmarkDistanceCallback(**of_clips))
    if options.lpips:
        callbacks.append(LpipsCallback(options.backbone_weights, backbone=options.backbone, **of_frames))
    if options.fid:
        callbacks.append(FrechetCallback(options.inception_weights, **of_frames))
    if options.sync:
        callbacks.append(SyncNetCallback(options.syncnet_weights, **of_clips))
    if options.samples:
        callbacks.append(SamplesCallback(folder, **schedule))
    return callbacks


def _sample_source(config: Config, validation: list[ClipEntry], clips: Collection[str]) -> SampleSource:
    """Return what turns the outputs of a validation into rendered clips."""
    if isinstance(config, RendererConfig):
        return RenderedClips(validation, clips)
    predicts = "pose" if config.task == "pose" else "expression"
    options = config.metrics
    return RenderedSamples(
        validation,
        clips,
        load_face_model(config.face_model),
        predicts=predicts,
        frames=options.frames,
        renderer=open_renderer(options.renderer, size=options.renderer_size, device=local_device(config.trainer)),
    )


def build_monitors(config: Config, run: RunDirectory, task: BaseTask, resume_step: int | None) -> list[pl.Callback]:
    """Return the callbacks that monitor every step, and the one that describes the run on the dashboards."""
    gradients = GradientNorm()
    limit: list[pl.Callback] = [TimeLimit(config.trainer.max_time)] if config.trainer.max_time else []
    return [
        gradients,
        LearningRate(),
        StopOnBadLoss(run.path / "failure", gradients, explosion=config.trainer.explosion),
        Throughput(run.path / "speed.csv", resume_step=resume_step),
        RunArtifacts(run.path, task.notes["data"]),
        *limit,
    ]


def spread_clips(entries: list[ClipEntry], count: int) -> frozenset[str]:
    """Return the names of ``count`` evenly spaced clips.

    A name that occurs in two stores is never returned, since the callbacks could not tell its clips apart.
    """
    counts = Counter(entry.row.clip_id for entry in entries)
    unique = [name for name, count in counts.items() if count == 1]
    return frozenset(evenly_spaced(unique, count))


def build_checkpoints(
    config: Config, run: RunDirectory, task: BaseTask, scores: Sequence[pl.Callback], *, validate: bool
) -> list[pl.Callback]:
    """Return the callbacks that save best.ckpt, by a loss or a metric, last.ckpt, and those that are kept beside them.

    Checkpoints are saved after each validation; last.ckpt also every few steps, if that is configured, and when a
    signal asks the run to stop. Early stopping is among them, as it looks at the score of best.ckpt.
    """
    trainer = config.trainer
    every = trainer.save_every or (0 if validate else trainer.validate_every)
    last: list[pl.Callback] = [LastCheckpoint(run.last, every=every or None)]
    if trainer.keep_every:
        last.insert(0, PeriodicCheckpoints(run.checkpoints, trainer.keep_every))
    if not validate:
        return last
    shared: dict[str, Any] = {
        "dirpath": run.checkpoints,
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
    }
    monitor = monitored(config, task)
    is_loss = monitor in {f"val/{name}" for name in task.sums}
    chosen: dict[str, Any] = {"monitor": monitor, **shared, **({"mode": "min"} if is_loss else {"callbacks": scores})}
    best: list[pl.Callback] = [(RunCheckpoint if is_loss else MonitoredRunCheckpoint)(filename="best", **chosen)]
    if trainer.keep_best > 1:
        kept = KeptCheckpoint if is_loss else KeptMonitoredCheckpoint
        best.append(kept(filename="best_{step:06d}", save_top_k=trainer.keep_best, **chosen))
    if trainer.early_stopping:
        best.append(StopWithoutProgress(monitor, patience=trainer.early_stopping, callbacks=() if is_loss else scores))
    # last.ckpt comes after these, so that its state includes the current best.
    return [*best, RunCheckpoint(filename="last", save_on_train_epoch_end=False, **shared), *last]
