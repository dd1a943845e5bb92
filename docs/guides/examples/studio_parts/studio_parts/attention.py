"""An attention bias: ALiBi that sees no farther than a fixed number of frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from expnet.models.attention import PositionBias


@dataclass(frozen=True)
class WindowOptions:
    """Options of `WindowedAlibi`.

    Attributes:
        reach: Largest distance in frames that attention sees.
    """

    reach: int = 25


class WindowedAlibi(PositionBias):
    """Symmetric ALiBi, masked beyond ``reach`` frames.

    Args:
        heads: H, number of attention heads.
        options: How far it sees.
    """

    def __init__(self, heads: int, options: WindowOptions) -> None:
        super().__init__("alibi", heads)
        self.reach = options.reach

    def forward(self, frames: int, *, device: torch.device, dtype: torch.dtype, before: int = 0) -> Tensor | None:
        """Return the bias (1, H, T, P + T); row r belongs to frame T - 1 - r, as `PositionBias` orders them."""
        bias = super().forward(frames, device=device, dtype=dtype, before=before)
        query = torch.arange(frames - 1, -1, -1, device=device)[:, None] + before
        key = torch.arange(before + frames, device=device)[None]
        return bias.masked_fill((query - key).abs() > self.reach, -math.inf)
