"""A training step in one file, to be run again elsewhere: batch, weights, random numbers and how the task was made."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from expnet.config import ExpressionLossConfig
from expnet.data.batch import FaceBatch
from expnet.errors import InputError
from expnet.face.morphable import BUILTIN_NAME, load_face_model
from expnet.render.refinement.batch import RegionBatch
from expnet.training.random_state import set_torch_random_state
from expnet.training.tasks.base_task import BaseTask, gradient_norm
from expnet.training.tasks.build import sync_loss
from expnet.training.tasks.expression_task import ExpressionTask
from expnet.training.tasks.landmark_sync_task import LandmarkSyncTask
from expnet.training.tasks.pose_task import PoseTask
from expnet.training.tasks.refiner_task import RefinerTask

SCHEMA = 1
_HEADER = "expnet_reproducer"


@dataclass(frozen=True, eq=False)
class Reproducer:
    """One training step as it was before it was taken.

    Attributes:
        batch: of one process.
        weights: state dict of the task, averaged weights included. Running statistics have seen the step's forward
            pass already; no training loss depends on them.
        random: states of torch's generators: ``cpu``, and ``cuda`` where there was a GPU.
        about: plain values: ``task``, ``arguments`` of its class, ``face_model``, ``step``, ``precision``, ``device``,
            ``reason``, ``loss``, ``gradient_norm`` and the run's ``notes`` (configuration, data, versions).
    """

    batch: FaceBatch | RegionBatch
    weights: Mapping[str, Tensor]
    random: Mapping[str, Tensor]
    about: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write it as one safetensors file; it holds coefficients and sound of its clips, but no face model."""
        names = [field.name for field in fields(self.batch) if field.name != "clip_ids"]
        tensors = {f"batch.{name}": getattr(self.batch, name) for name in names}
        tensors |= {f"weights.{name}": value for name, value in self.weights.items()}
        tensors |= {f"random.{name}": value for name, value in self.random.items()}
        about = {"schema": SCHEMA, **self.about, "clip_ids": list(self.batch.clip_ids)}
        path.parent.mkdir(parents=True, exist_ok=True)
        copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        save_file(copies, path, metadata={_HEADER: json.dumps(about)})

    @classmethod
    def load(cls, path: str | Path) -> Reproducer:
        """Read one.

        Raises:
            InputError: the file is not there, or is something else.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})[_HEADER])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, KeyError, SafetensorError) as error:
            raise InputError(
                f"{path} is not a saved training step; a run that stops writes failure/*.safetensors."
            ) from error

        def part(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

        kind: Any = RegionBatch if about["task"] == "refiner" else FaceBatch
        batch = kind(**part("batch."), clip_ids=tuple(about.pop("clip_ids")))
        return cls(batch, part("weights."), part("random."), about)

    def build_task(self) -> BaseTask:
        """Make the task with the weights of before the step; a sync expert in its loss is read from its own file."""
        task = self._untrained()
        task.load_state_dict(self.weights)
        return task

    def _untrained(self) -> BaseTask:
        arguments, name = self.about["arguments"], self.about["task"]
        if name == "pose":
            return PoseTask(**arguments)
        if name == "refiner":
            return RefinerTask(**arguments)
        face_model = load_face_model(self.about["face_model"])
        if name == "landmark_sync":
            return LandmarkSyncTask(**arguments, face_model=face_model)
        sync = sync_loss(ExpressionLossConfig(**arguments["loss"]), face_model.name)
        return ExpressionTask(**arguments, face_model=face_model, sync=sync)


def record(task: BaseTask, batch: FaceBatch | RegionBatch, random: Mapping[str, Tensor], **about: Any) -> Reproducer:
    """Take down a step that has not moved the weights yet.

    Args:
        task: with its trainer.
        batch: the batch.
        random: what `torch_random_state` gave before the step.
        **about: plain values to add.
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
    return Reproducer(batch, task.state_dict(), random, {**known, **about})


@dataclass
class Replay:
    """What a step that was run again showed.

    Attributes:
        loss: its loss.
        gradient_norm: of its gradient, before clipping.
        terms: what the task logged, by name.
        inputs: parts of the batch with values that are not numbers, and in which clips.
        weights: parameters that were not numbers before the step.
        layer: the first layer, in the order of computation, whose output is not a number; empty where there is none.
    """

    loss: float
    gradient_norm: float
    terms: dict[str, float]
    inputs: dict[str, tuple[str, ...]]
    weights: tuple[str, ...]
    layer: str

    def describe(self) -> str:
        """Return lines for people."""
        lines = [f"loss {self.loss:g}, gradient norm {self.gradient_norm:g}"]
        lines += [f"  {name} {value:g}" for name, value in self.terms.items()]
        lines += [f"{name} is not finite in {', '.join(clips)}" for name, clips in self.inputs.items()]
        if self.weights:
            lines.append(f"weights that are not finite: {', '.join(self.weights)}")
        if self.layer:
            lines.append(f"first layer whose output is not finite: {self.layer}")
        return "\n".join(lines)


def replay(step: Reproducer, *, accelerator: str = "auto") -> Replay:
    """Run a saved step again, as the run did: same precision, same random numbers, same place in the schedules.

    Bit for bit on the kind of device that it was saved on.

    Args:
        step: the step.
        accelerator: auto, cpu, gpu.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its banners
    warnings.filterwarnings("ignore", message="You defined a `validation_step`")
    task = step.build_task()
    probe = _Probe(step.random)
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=step.about["precision"],
        max_steps=step.about["step"] + 1,
        limit_val_batches=0,
        callbacks=[probe],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Where the Trainer counts the steps; annealed losses look at it.
    trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total.completed = step.about[
        "step"
    ]
    inputs = _inputs_that_are_not_finite(step.batch)
    weights = tuple(name for name, value in task.named_parameters() if not bool(value.isfinite().all()))
    trainer.fit(task, DataLoader([step.batch], batch_size=None))  # type: ignore[arg-type]
    terms = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    return Replay(probe.loss, probe.gradient_norm, terms, inputs, weights, probe.layer)


class _Probe(pl.Callback):
    """Set the random numbers, and look at what the step computes."""

    def __init__(self, random: Mapping[str, Tensor]) -> None:
        self.random = random
        self.loss = self.gradient_norm = float("nan")
        self.layer = ""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        for name, module in pl_module.named_modules():
            if not name.startswith("averaged"):
                module.register_forward_hook(self._look(name))
        set_torch_random_state(self.random)

    def _look(self, name: str) -> Callable[[Any, Any, Any], None]:
        def hook(module: Any, arguments: Any, output: Any) -> None:
            if not self.layer and isinstance(output, Tensor) and not bool(output.isfinite().all()):
                self.layer = name

        return hook

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        self.loss = float(loss.detach())

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self.gradient_norm = float(gradient_norm(pl_module))


def _inputs_that_are_not_finite(batch: FaceBatch | RegionBatch) -> dict[str, tuple[str, ...]]:
    found = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            finite = value.isfinite().flatten(1).all(dim=1).tolist()
            clips = tuple(clip for clip, good in zip(batch.clip_ids, finite, strict=True) if not good)
            if clips:
                found[field.name] = clips
    return found
