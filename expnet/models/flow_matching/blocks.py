"""A Transformer whose layers are modulated by the time of the flow and by the conditions of a clip (adaLN)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expnet.models.attention import SelfAttention, merge_padding
from expnet.models.recomputation import run_block
from expnet.models.temporal import TemporalOptions, build_bias


class AdaptiveBlock(nn.Module):
    """Attention and feed-forward layer, both with the adaptive layer norm of DiT (Peebles and Xie, arXiv 2212.09748).

    A condition scales and shifts the input of each branch and scales its output. All start at the identity; the gates
    start at 1, not at 0 as in the paper, because four layers need no such protection.

    Args:
        width: Size of the features D.
        options: Sizes and switches.
    """

    def __init__(self, width: int, options: TemporalOptions) -> None:
        super().__init__()
        hidden = options.feedforward * width
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = SelfAttention(width, options.heads)
        self.norm_feedforward = nn.LayerNorm(width, elementwise_affine=False)
        self.feedforward = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(options.dropout), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(options.dropout)
        self.modulate = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor | None) -> Tensor:
        """Map x (B, T, D), with the condition (B, D), to (B, T, D)."""
        scale_a, shift_a, gate_a, scale_f, shift_f, gate_f = self.modulate(condition)[:, None].chunk(6, dim=-1)
        attended = self.attention(self.norm_attention(x) * (1 + scale_a) + shift_a, mask)
        x = x + (1 + gate_a) * self.dropout(attended)
        fed = self.feedforward(self.norm_feedforward(x) * (1 + scale_f) + shift_f)
        return x + (1 + gate_f) * self.dropout(fed)


class AdaptiveTransformer(nn.Module):
    """A stack of `AdaptiveBlock` layers with an attention bias.

    Args:
        width: Size of the features D.
        options: Sizes and switches; stochastic depth and memory are not used.
    """

    def __init__(self, width: int, options: TemporalOptions) -> None:
        super().__init__()
        self.heads = options.heads
        self.bias = build_bias(options)
        self.blocks = nn.ModuleList(AdaptiveBlock(width, options) for _ in range(options.layers))
        self.recomputes = False

    def forward(self, x: Tensor, condition: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x (B, T, D), condition (B, D) and valid (B, T), false on padding, to (B, T, D)."""
        x = self.bias.add_positions(x)
        bias = self.bias(x.shape[1], device=x.device, dtype=x.dtype)
        mask = merge_padding(bias, valid, batch=x.shape[0], heads=self.heads, dtype=x.dtype)
        condition = torch.nn.functional.silu(condition)
        for block in self.blocks:
            x = run_block(block, x, condition, mask, recompute=self.recomputes)
        return x
