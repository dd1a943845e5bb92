"""Positions in a feature volume, from -1 to 1 along each axis, in the order x, y, depth."""

from __future__ import annotations

import torch
from torch import Tensor


def volume_grid(depth: int, height: int, width: int, like: Tensor) -> Tensor:
    """Return the positions (D, H, W, 3) of the cells of a volume; the outermost cells of an axis are at -1 and 1."""
    axes = [torch.linspace(-1.0, 1.0, size, dtype=like.dtype, device=like.device) for size in (depth, height, width)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z], dim=-1)
