"""A temporal module of one's own: a learned moving average over time, trained in place of the Transformer."""

from __future__ import annotations

import copy

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from expnet.config import load_config
from expnet.training.main import build_data
from expnet.training.tasks.build import build_task


class MovingAverage(nn.Module):
    """Smooth features over time with a learned weight for each channel, forwards in time.

    Args:
        width: D, size of the features.
        condition: Size of the condition vector, which holds the first frame's expression.
    """

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.keep = nn.Parameter(torch.zeros(width))
        self.shift = nn.Linear(condition, width)
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor, condition: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x (B, T, D), condition (B, C) and valid (B, T) bool to (B, T, D)."""
        keep = torch.sigmoid(self.keep)
        x = x + self.shift(condition)[:, None]
        if valid is not None:
            x = x * valid[..., None]  # padded frames must not reach valid ones
        state, states = torch.zeros_like(x[:, 0]), []
        for frame in x.unbind(dim=1):
            state = keep * state + (1 - keep) * frame
            states.append(state)
        return x + self.mix(torch.stack(states, dim=1))


def train(store: str, *, steps: int = 1000) -> pl.LightningModule:
    """Train the expression network with this module on a track store."""
    config = load_config(["configs/expression.yaml", f"data.store={store}", f"trainer.max_steps={steps}"])
    data = build_data(config)
    task = build_task(config, data)
    module = MovingAverage(config.model.width, config.model.width)
    task.model.temporal = module
    if task.averaged is not None:  # the averaged weights that are validated
        task.averaged.temporal = copy.deepcopy(module).requires_grad_(False)
    trainer = pl.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, use_distributed_sampler=False
    )
    trainer.fit(task, datamodule=data)
    return task
