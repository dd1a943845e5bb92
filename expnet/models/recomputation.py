"""Activation checkpointing: blocks are computed again in the backward pass instead of keeping what they computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_block(block: nn.Module, x: Tensor, *inputs: Any, recompute: bool) -> Tensor:
    """Return ``block(x, *inputs)``; with ``recompute``, gradients come from a second computation of the same numbers.

    The second computation draws the same dropout, since the state of the random numbers is restored for it.
    """
    if recompute and block.training and torch.is_grad_enabled():
        return checkpoint(block, x, *inputs, use_reentrant=False)
    return block(x, *inputs)


def recompute_blocks(model: nn.Module) -> int:
    """Let the Transformers of a network compute their blocks twice in training.

    Returns:
        Number of blocks; 0 for a network that has none.
    """
    count = 0
    for module in model.modules():
        if hasattr(module, "recomputes"):
            module.recomputes = True  # type: ignore[assignment]
            count += len(module.blocks)  # type: ignore[arg-type]
    return count
