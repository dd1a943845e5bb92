"""A training step in one file, to be run again elsewhere: batch, weights, random state and the task's arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from expnet.config import ExpressionLossConfig, RendererLossConfig
from expnet.data.batch import FaceBatch
from expnet.errors import InputError
from expnet.face.morphable import BUILTIN_NAME, load_face_model
from expnet.io.atomic import atomic_path
from expnet.render.refiner.batch import RegionBatch
from expnet.render.video_renderer.batch import FramePairs
from expnet.training.tasks.base_task import BaseTask
from expnet.training.tasks.build import perceptual_features, sync_loss
from expnet.training.tasks.expression_task import ExpressionTask
from expnet.training.tasks.landmark_sync_task import LandmarkSyncTask
from expnet.training.tasks.motion_task import MotionTask
from expnet.training.tasks.pose_task import PoseTask
from expnet.training.tasks.refiner_task import RefinerTask
from expnet.training.tasks.renderer_task import VideoRendererTask

SCHEMA = 1
_HEADER = "expnet_reproducer"
_BATCHES = {"refiner": RegionBatch, "renderer": FramePairs}
Batch = FaceBatch | RegionBatch | FramePairs


@dataclass(frozen=True, eq=False)
class SavedStep:
    """One training step as it was before the weights moved.

    Attributes:
        batch: The batch of one process.
        weights: State dict of the task, averaged weights included. Running statistics already contain the step's
            forward pass; no training loss depends on them.
        random: State of torch's generators: ``cpu``, and ``cuda`` if a GPU was in use.
        about: Plain values: ``task``, ``arguments`` of its class, ``face_model``, ``step``, ``precision``, ``device``,
            ``reason``, ``loss``, ``gradient_norm`` and the run's ``notes`` (configuration, data, versions).
    """

    batch: Batch
    weights: Mapping[str, Tensor]
    random: Mapping[str, Tensor]
    about: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write the step to a safetensors file, which holds coefficients and audio of its clips but no face model."""
        parts = {field.name: getattr(self.batch, field.name) for field in fields(self.batch)}
        tensors = {f"batch.{name}": value for name, value in parts.items() if isinstance(value, Tensor)}
        tensors |= {f"weights.{name}": value for name, value in self.weights.items()}
        tensors |= {f"random.{name}": value for name, value in self.random.items()}
        about = {"schema": SCHEMA, **self.about, "clip_ids": list(self.batch.clip_ids)}
        path.parent.mkdir(parents=True, exist_ok=True)
        copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        with atomic_path(path) as partial:
            save_file(copies, partial, metadata={_HEADER: json.dumps(about)})

    @classmethod
    def load(cls, path: str | Path) -> SavedStep:
        """Read a step from a file.

        Raises:
            InputError: The file does not exist or does not hold a training step.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})[_HEADER])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, KeyError, SafetensorError) as error:
            raise InputError(
                f"{path} is not a saved training step; a run that stops writes failure/*.safetensors."
            ) from error

        def tensors_of(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

        batch_class: Any = _BATCHES.get(about["task"], FaceBatch)
        batch = batch_class(**tensors_of("batch."), clip_ids=tuple(about.pop("clip_ids")))
        return cls(batch, tensors_of("weights."), tensors_of("random."), about)

    def build_task(self) -> BaseTask:
        """Build the task with the weights from before the step; a sync expert in its loss is read from its own file."""
        task = self._untrained_task()
        task.load_state_dict(self.weights)
        return task

    def _untrained_task(self) -> BaseTask:
        arguments, name = self.about["arguments"], self.about["task"]
        if name == "pose":
            return PoseTask(**arguments)
        if name == "refiner":
            return RefinerTask(**arguments)
        if name == "renderer":
            features = perceptual_features(RendererLossConfig(**arguments["loss"]))
            return VideoRendererTask(**arguments, features=features)
        face_model = load_face_model(self.about["face_model"])
        if name == "motion":
            return MotionTask(**arguments, face_model=face_model)
        if name == "landmark_sync":
            return LandmarkSyncTask(**arguments, face_model=face_model)
        sync = sync_loss(ExpressionLossConfig(**arguments["loss"]), face_model.name)
        return ExpressionTask(**arguments, face_model=face_model, sync=sync)


def record_step(task: BaseTask, batch: Batch, random: Mapping[str, Tensor], **about: Any) -> SavedStep:
    """Record a training step whose gradient has been computed, before the optimiser moves the weights.

    Args:
        task: The task, attached to its trainer.
        batch: The batch of this process.
        random: Result of `torch_random_state` before the step.
        **about: Further plain values, see `SavedStep`.
    """
    known = {
        "task": task.model.task,
        "arguments": dict(task.hparams),
        "face_model": task.notes.get("config", {}).get("face_model", BUILTIN_NAME),
        "step": task.global_step,
        "precision": str(task.trainer.precision),
        "device": task.device.type,
        "notes": task.notes,
    }
    return SavedStep(batch, task.state_dict(), random, {**known, **about})
