"""A saved training step, run again to find what went wrong in it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader

from expnet.training.random_state import set_torch_random_state
from expnet.training.saved_step import Batch, SavedStep
from expnet.training.tasks.base_task import gradient_norm


@dataclass
class Replay:
    """Findings of a step that was run again.

    Attributes:
        loss: Loss of the step.
        gradient_norm: Gradient norm before clipping.
        terms: Values that the task logged, by name.
        inputs: Clips whose batch entries contain NaN or infinity, by field of the batch.
        weights: Names of the parameters that contained NaN or infinity before the step.
        layer: The first layer, in the order of computation, whose output contains NaN or infinity; empty for none.
    """

    loss: float
    gradient_norm: float
    terms: dict[str, float]
    inputs: dict[str, tuple[str, ...]]
    weights: tuple[str, ...]
    layer: str

    def describe(self) -> str:
        """Return the findings as lines of text."""
        lines = [f"loss {self.loss:g}, gradient norm {self.gradient_norm:g}"]
        lines += [f"  {name} {value:g}" for name, value in self.terms.items()]
        lines += [f"{name} is not finite in {', '.join(clips)}" for name, clips in self.inputs.items()]
        if self.weights:
            lines.append(f"weights that are not finite: {', '.join(self.weights)}")
        if self.layer:
            lines.append(f"first layer whose output is not finite: {self.layer}")
        return "\n".join(lines)


def replay(step: SavedStep, *, accelerator: str = "auto") -> Replay:
    """Run a saved step again with the precision, random state and position in the schedules of the original run.

    The result is the same bit for bit on the kind of device that the step was saved on.

    Args:
        step: The step.
        accelerator: auto, cpu or gpu.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # hides its banners
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
    # The Trainer's step counter, which annealed losses read.
    counter = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    counter.completed = step.about["step"]
    inputs = _non_finite_inputs(step.batch)
    weights = tuple(name for name, value in task.named_parameters() if not bool(value.isfinite().all()))
    trainer.fit(task, DataLoader([step.batch], batch_size=None))  # type: ignore[arg-type]
    terms = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    return Replay(probe.loss, probe.gradient_norm, terms, inputs, weights, probe.layer)


class _Probe(pl.Callback):
    """Restores the random state, and observes what the step computes."""

    def __init__(self, random: Mapping[str, Tensor]) -> None:
        self.random = random
        self.loss = self.gradient_norm = float("nan")
        self.layer = ""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        for name, module in pl_module.named_modules():
            if not name.startswith("averaged"):
                module.register_forward_hook(self._check_output(name))
        set_torch_random_state(self.random)

    def _check_output(self, name: str) -> Callable[[Any, Any, Any], None]:
        def hook(module: Any, arguments: Any, output: Any) -> None:
            if not self.layer and isinstance(output, Tensor) and not bool(output.isfinite().all()):
                self.layer = name

        return hook

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        self.loss = float(loss.detach())

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self.gradient_norm = float(gradient_norm(pl_module))


def _non_finite_inputs(batch: Batch) -> dict[str, tuple[str, ...]]:
    """Return the clips with NaN or infinity in the batch, by field."""
    found = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            finite = value.isfinite().flatten(1).all(dim=1).tolist()
            clips = tuple(clip for clip, good in zip(batch.clip_ids, finite, strict=True) if not good)
            if clips:
                found[field.name] = clips
    return found
