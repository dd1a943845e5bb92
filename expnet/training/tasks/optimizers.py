"""Optimisers and learning rate schedules of all tasks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from expnet.config import OptimConfig
from expnet.errors import ConfigError


def build_optimizer(module: nn.Module, options: OptimConfig) -> Optimizer:
    """Return the configured optimiser for the trained parameters of a module.

    Raises:
        ConfigError: The installed torch has no Muon.
    """
    if options.optimizer == "adamw":
        return AdamW(parameter_groups(module, options.weight_decay), lr=options.lr)
    matrices, others = matrices_and_others(module)
    return MuonWithAdamW(matrices, others, lr=options.lr, weight_decay=options.weight_decay)


def schedule_of(optimizer: Optimizer, options: OptimConfig, steps: int) -> dict[str, Any]:
    """Return an optimiser with its learning rate schedule, in the form that Lightning takes.

    Args:
        optimizer: The optimiser.
        options: The schedule, its warm-up and its end.
        steps: Optimiser steps of the whole run.
    """
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: learning_rate_factor(
            step, warmup=options.warmup_steps, steps=steps, final=options.final_lr, schedule=options.schedule
        ),
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def learning_rate_factor(step: int, *, warmup: int, steps: int, final: float, schedule: str = "cosine") -> float:
    """Return the learning rate relative to its peak, after a linear warm-up over ``warmup`` steps.

    Args:
        step: The step, from 0.
        warmup: Steps of the warm-up.
        steps: Steps of the whole run, at which ``cosine`` ends.
        final: Relative learning rate at the end of ``cosine``, and the least of ``inverse_sqrt``.
        schedule: ``cosine``; ``constant``; or ``inverse_sqrt``, ``sqrt((warmup + 1) / (step + 1))`` as of Vaswani et
            al. (arXiv 1706.03762), which like ``constant`` does not depend on ``steps``.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    if schedule == "inverse_sqrt":
        return max(final, math.sqrt((warmup + 1) / (step + 1)))
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trained parameters into matrices, which get weight decay, and all others, which get none.

    The others are biases, norms, embeddings and the slopes of the attention bias.
    """
    decayed: list[nn.Parameter] = []
    not_decayed: list[nn.Parameter] = []
    for submodule in module.modules():
        for parameter in submodule.parameters(recurse=False):
            if parameter.requires_grad:
                exempt = parameter.dim() < 2 or isinstance(submodule, nn.Embedding)
                (not_decayed if exempt else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": not_decayed, "weight_decay": 0.0}]


def matrices_and_others(module: nn.Module) -> tuple[list[nn.Parameter], list[dict[str, Any]]]:
    """Split the trained parameters for Muon: two-dimensional weights but embeddings, and groups of all others.

    The groups are those of `parameter_groups` without the matrices; convolutions keep their weight decay.
    """
    decayed, not_decayed = parameter_groups(module, 0.0)
    matrices = [parameter for parameter in decayed["params"] if parameter.dim() == 2]
    rest = [parameter for parameter in decayed["params"] if parameter.dim() != 2]
    return matrices, [{"params": rest}, not_decayed]


class MuonWithAdamW(Optimizer):
    """Muon for matrices and AdamW for all other parameters, as one optimiser with one schedule and one state.

    Lightning takes a single optimiser, and so do gradient scaling and exact resume. Muon's update is scaled to the size
    of AdamW's (Liu et al., arXiv 2502.16982), so that learning rate and weight decay mean the same for both.

    Args:
        matrices: Two-dimensional parameters, which Muon trains.
        others: Groups of all other parameters; one without a ``weight_decay`` of its own takes that of the matrices.
        lr: Learning rate.
        weight_decay: Weight decay.

    Raises:
        ConfigError: The installed torch has no Muon.
    """

    def __init__(
        self, matrices: list[nn.Parameter], others: list[dict[str, Any]], *, lr: float, weight_decay: float
    ) -> None:
        muon = getattr(torch.optim, "Muon", None)
        if muon is None:
            raise ConfigError(
                f"optim.optimizer=muon needs PyTorch 2.9 or newer, not {torch.__version__}: update it, or leave "
                "optim.optimizer at adamw."
            )
        if not matrices:
            raise ConfigError("optim.optimizer=muon has no matrices to train in this network: use adamw.")
        self._parts: list[Optimizer] = [
            muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            AdamW([group for group in others if group["params"]], lr=lr, weight_decay=weight_decay),
        ]
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let both optimisers work on the groups and the state of this one."""
        start = 0
        for part in self._parts:
            end = start + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[start:end], self.state
            start = end

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of both optimisers."""
        super().load_state_dict(state_dict)
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step of both; the closure computes loss and gradients once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss
