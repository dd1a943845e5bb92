"""Faults that tests plant in a run at a chosen step."""

import os
from typing import Any

import torch

from expnet.training.tasks.base_task import BaseTask


def bad_target(step: int) -> None:
    """Set one value of the second clip's target to NaN, in the last process only."""
    original = BaseTask.on_before_batch_transfer

    def spoil(task: BaseTask, batch: Any, dataloader_idx: int) -> Any:
        last = int(os.environ.get("LOCAL_RANK", 0)) == task.trainer.world_size - 1
        if task.trainer.training and task.global_step == step and last:
            batch.expression[1, 3, 0] = torch.nan
            batch.rotation[1, 3, 0] = torch.nan
        return original(task, batch, dataloader_idx)

    BaseTask.on_before_batch_transfer = spoil  # type: ignore[method-assign]


def bad_gradient(step: int) -> None:
    """Set one entry of a gradient to infinity; the loss stays correct."""

    def spoil(task: BaseTask) -> None:
        if task.global_step == step:
            weight = next(value for value in task.model.parameters() if value.grad is not None)
            weight.grad.view(-1)[0] = torch.inf

    BaseTask.on_after_backward = spoil  # type: ignore[method-assign]
