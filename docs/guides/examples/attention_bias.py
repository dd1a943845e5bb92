"""An attention bias of one's own: ALiBi that sees no farther than a fixed number of frames."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from expnet.models.attention import PositionBias
from expnet.models.temporal import TemporalOptions, Transformer


class WindowedAlibi(PositionBias):
    """Symmetric ALiBi, masked beyond ``reach`` frames.

    Args:
        heads: H, number of attention heads.
        reach: Largest distance in frames that attention sees.
    """

    def __init__(self, heads: int, *, reach: int) -> None:
        super().__init__("alibi", heads)
        self.reach = reach

    def forward(self, frames: int, *, device: torch.device, dtype: torch.dtype, before: int = 0) -> Tensor | None:
        """Return the bias (1, H, T, P + T); row r belongs to frame T - 1 - r, as `PositionBias` orders them."""
        bias = super().forward(frames, device=device, dtype=dtype, before=before)
        query = torch.arange(frames - 1, -1, -1, device=device)[:, None] + before
        key = torch.arange(before + frames, device=device)[None]
        return bias.masked_fill((query - key).abs() > self.reach, -math.inf)


def windowed_transformer(
    width: int, condition: int, *, heads: int = 4, layers: int = 2, reach: int = 25
) -> Transformer:
    """Return the temporal module of the expression network with this bias."""
    transformer = Transformer(width, condition, TemporalOptions(layers=layers, heads=heads))
    transformer.bias = WindowedAlibi(heads, reach=reach)
    return transformer
