"""What both tasks share: optimiser and schedule, averaged weights, and losses summed rightly across processes."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from expnet import __version__
from expnet.config import AugmentConfig, OptimConfig
from expnet.models.saved_model import HEADER, SCHEMA


@dataclass(frozen=True)
class StepOutput:
    """What a validation step made of one batch of whole clips; callbacks score it.

    Attributes:
        predicted: (B, T, 64) expression, or (B, T, 6) pose relative to the first frame.
        target: the same of the real clips.
        valid: (B, T) bool: real frames, neither padding nor interpolated.
        clip_ids: names of the clips.
        landmarks: (B, T, 68, 3) of the prediction, in face units and without head motion; None for poses.
        target_landmarks: (B, T, 68, 3) of the real clips' coefficients.
    """

    predicted: Tensor
    target: Tensor
    valid: Tensor
    clip_ids: tuple[str, ...]
    landmarks: Tensor | None = None
    target_landmarks: Tensor | None = None


class WeightedMean(Metric):
    """Mean over all clips of all processes, from a sum and a weight: an average of averages would be wrong.

    Not torchmetrics' MeanMetric: with ``nan_strategy="disable"`` it drops the weights (1.9.0).
    """

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: Tensor) -> None:
        """Add a mean over ``weight`` frames."""
        self.total += value.detach().double() * weight
        self.weight += weight

    def compute(self) -> Tensor:
        """Return the mean; NaN of nothing."""
        return (self.total / self.weight).float()


class Total(Metric):
    """Sum over all processes: the n behind a score. In float64, which counts exactly what float32 does not."""

    full_state_update = False
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, count: Tensor | int) -> None:
        """Add a count."""
        self.total += count

    def compute(self) -> Tensor:
        """Return the sum."""
        return self.total


class BaseTask(pl.LightningModule):
    """A model, its averaged copy, and how it is optimised.

    Args:
        model: the network to train.
        optim: values of `OptimConfig`, a plain dict.
        augment: values of `AugmentConfig`, a plain dict.
        max_steps: steps of the whole run, for the schedule.
        losses: names of the losses that a validation logs as ``val/NAME``, averaged over frames of all processes, whose
            number it logs as ``val/frames``.
    """

    monitor = "val/loss"
    averages: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        optim: dict[str, Any],
        augment: dict[str, Any],
        max_steps: int,
        losses: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.model = model
        self.optim = OptimConfig(**optim)
        self.augment = AugmentConfig(**augment)
        self.max_steps = max_steps
        # What a checkpoint should say about its training, in plain values: see `describe_training`.
        self.notes: dict[str, Any] = {}
        # A copy and not a callback's secret: it is part of the state dict, so a resumed run has the same averages.
        self.averaged = copy.deepcopy(model).requires_grad_(False) if self.optim.ema else None
        self.register_buffer("averages", torch.zeros((), dtype=torch.long))
        self.sums = nn.ModuleDict({name: WeightedMean() for name in losses})
        self.frames = Total()
        self._validation: dict[str, float] = {}

    @property
    def evaluated(self) -> nn.Module:
        """The weights that are validated and exported: the averaged ones where they are kept."""
        return self.model if self.averaged is None else self.averaged

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the averaged weights towards the trained ones."""
        if self.averaged is not None:
            self.averages += 1
            update_average(self.averaged, self.model, decay=self.optim.ema, step=int(self.averages))

    def full_precision(self) -> torch.autocast:
        """Leave mixed precision, which is for the network in training: losses and validations are of full precision."""
        return torch.autocast(self.device.type, enabled=False)

    def log_losses(self, losses: dict[str, Tensor], valid: Tensor) -> None:
        """Add the losses of a validation batch to the sums, weighed by its frames, and log the sums."""
        count = valid.sum()
        for name, value in losses.items():
            metric = self.sums[name]
            assert isinstance(metric, WeightedMean)
            metric.update(value, count)
            self.log(f"val/{name}", metric, on_step=False, on_epoch=True)
        self.frames.update(count)
        self.log("val/frames", self.frames, on_step=False, on_epoch=True)

    def configure_optimizers(self) -> Any:
        """AdamW, matrices decayed, with a linear warm-up and a cosine over the run's steps."""
        optimizer = torch.optim.AdamW(parameter_groups(self, self.optim.weight_decay), lr=self.optim.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: learning_rate_share(
                step, warmup=self.optim.warmup_steps, steps=self.max_steps, final=self.optim.final_lr
            ),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in the checkpoint what it is, in plain values that weights-only loading takes."""
        checkpoint[HEADER] = {
            "schema": SCHEMA,
            "version": __version__,
            "task": self.model.task,
            "options": dict(self.model.options),  # type: ignore[arg-type]
            "notes": self.notes_now(),
        }

    def notes_now(self) -> dict[str, Any]:
        """Return the notes with the step, and the scores of the last validation up to it."""
        logged = {name: float(value) for name, value in self.trainer.callback_metrics.items() if name[:4] == "val/"}
        return {**self.notes, "step": self.global_step, "validation": self._validation | logged}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the scores of the last validation: a resumed run's Trainer has forgotten them."""
        self._validation = checkpoint[HEADER]["notes"]["validation"]


def widened(value: Tensor) -> Tensor:
    """Return what a network computed in 16 bits in 32, and everything else as it is."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value


def gradient_norm(module: nn.Module) -> Tensor:
    """Return the Euclidean norm of all gradients of a module, a scalar; 0 where there are none."""
    norms = [torch.linalg.vector_norm(value.grad) for value in module.parameters() if value.grad is not None]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())


def update_average(average: nn.Module, model: nn.Module, *, decay: float, step: int) -> None:
    """Move an average of weights one step: ``a <- d a + (1 - d) w`` with ``d = min(decay, (1 + step) / (10 + step))``.

    The smaller decay at the start keeps the untrained weights from being remembered. Buffers are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for kept, new in zip(average.parameters(), model.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - decay)
        for kept_buffer, new_buffer in zip(average.buffers(), model.buffers(), strict=True):
            kept_buffer.copy_(new_buffer)


def learning_rate_share(step: int, *, warmup: int, steps: int, final: float) -> float:
    """Return the share of the highest learning rate: up linearly, then down along half a cosine to ``final``."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trained parameters into matrices, which are decayed, and biases, norms, embeddings and slopes."""
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            if parameter.requires_grad:
                small = parameter.dim() < 2 or isinstance(part, nn.Embedding)
                (kept if small else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
