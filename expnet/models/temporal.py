"""What looks along time: a Transformer encoder, a stack of convolutions, a recurrent net, or nothing.

All take and give (B, T, D), are conditioned by one vector a clip, and ignore padded frames, so that `temporal_module`
is one switch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expnet.errors import ConfigError
from expnet.models.attention import KeyValueCache, PositionBias, SelfAttention, merge_padding

TEMPORAL_MODULES = ("transformer", "conv", "gru", "none")


class StochasticDepth(nn.Module):
    """Drop a residual branch for whole examples, in training only (Huang et al., arXiv 1603.09382)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        """Return the branch (B, T, D), zero for a share of the examples and scaled up for the others."""
        if not self.training or self.probability == 0:
            return branch
        keep = 1.0 - self.probability
        kept = torch.rand(branch.shape[0], 1, 1, device=branch.device) < keep
        return branch * kept / keep


class Film(nn.Module):
    """Scale and shift features by a condition (Perez et al., arXiv 1709.07871); the identity until trained."""

    def __init__(self, condition: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(condition, 2 * width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Modulate x (B, T, D) by condition (B, C) or (B, T, C)."""
        if condition.dim() == 2:
            condition = condition[:, None]
        scale, shift = self.project(condition).chunk(2, dim=-1)
        return x * (1 + scale) + shift


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual that may be dropped."""

    def __init__(
        self, width: int, heads: int, condition: int, *, feedforward: int, dropout: float, stochastic_depth: float
    ) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.film = Film(condition, width)
        self.attention = SelfAttention(width, heads, dropout=dropout)
        self.norm_feedforward = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(feedforward * width, width)
        )
        self.dropout = nn.Dropout(dropout)
        self.drop_path = StochasticDepth(stochastic_depth)

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor | None, cache: KeyValueCache | None = None) -> Tensor:
        """Map x (B, T, D) to (B, T, D)."""
        attended = self.attention(self.film(self.norm_attention(x), condition), mask, cache)
        x = x + self.drop_path(self.dropout(attended))
        return x + self.drop_path(self.dropout(self.feedforward(self.norm_feedforward(x))))


class Transformer(nn.Module):
    """Encoder of `TransformerBlock` s with one of `expnet.models.attention.ATTENTION_BIASES`."""

    def __init__(
        self,
        width: int,
        layers: int,
        condition: int,
        *,
        heads: int = 4,
        feedforward: int = 2,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        attention_bias: str = "alibi",
        period: int = 25,
        memory: int = 0,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.bias = PositionBias(attention_bias, heads, period=period, memory=memory)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                width,
                heads,
                condition,
                feedforward=feedforward,
                dropout=dropout,
                # deeper branches are dropped more often, as in the source
                stochastic_depth=stochastic_depth * (layer + 1) / layers,
            )
            for layer in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, condition: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x (B, T, D), condition (B, C), valid (B, T) to (B, T, D)."""
        x = self.bias.add_positions(x)
        bias = self.bias(x.shape[1], device=x.device, dtype=x.dtype)
        mask = merge_padding(bias, valid, batch=x.shape[0], heads=self.heads, dtype=x.dtype)
        for block in self.blocks:
            x = block(x, condition, mask)
        return self.norm(x)

    def caches(self) -> list[KeyValueCache]:
        """Return empty caches, one a block, for `resume`; only for ``alibi_causal`` with a memory."""
        return [KeyValueCache(self.bias.memory) for _ in self.blocks]

    def resume(self, x: Tensor, condition: Tensor, caches: list[KeyValueCache]) -> Tensor:
        """Map the next frames x (B, T, D) as `forward` maps them at the end of all frames so far."""
        bias = self.bias(x.shape[1], device=x.device, dtype=x.dtype, before=caches[0].frames)
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, condition, bias, cache)
        return self.norm(x)


class ConvolutionBlock(nn.Module):
    """Dilated convolution over time, kernel 5, normalised by frame, with a residual."""

    def __init__(self, width: int, condition: int, *, dilation: int, dropout: float, stochastic_depth: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.film = Film(condition, width)
        self.convolution = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation)
        self.mix = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.drop_path = StochasticDepth(stochastic_depth)

    def forward(self, x: Tensor, condition: Tensor, keep: Tensor | None) -> Tensor:
        """Map x (B, T, D) to (B, T, D); keep (B, T, 1) is 0 on padding."""
        y = self.film(self.norm(x), condition)
        if keep is not None:
            y = y * keep
        y = nn.functional.gelu(self.convolution(y.transpose(1, 2)).transpose(1, 2))
        return x + self.drop_path(self.dropout(self.mix(y)))


class Convolution(nn.Module):
    """Stack of `ConvolutionBlock` s with dilations 1, 2, 4, ..."""

    def __init__(
        self, width: int, layers: int, condition: int, *, dropout: float = 0.0, stochastic_depth: float = 0.0
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConvolutionBlock(
                width,
                condition,
                dilation=2**layer,
                dropout=dropout,
                stochastic_depth=stochastic_depth * (layer + 1) / layers,
            )
            for layer in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, condition: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x (B, T, D), condition (B, C), valid (B, T) to (B, T, D)."""
        keep = None if valid is None else valid[..., None].to(x.dtype)
        for block in self.blocks:
            x = block(x, condition, keep)
        return self.norm(x)


class Recurrent(nn.Module):
    """Bidirectional GRU with a residual."""

    def __init__(self, width: int, layers: int, condition: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if width % 2:
            raise ConfigError(f"width must be even for temporal_module=gru, not {width}.")
        self.norm_in = nn.LayerNorm(width)
        self.film = Film(condition, width)
        self.gru = nn.GRU(
            width, width // 2, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, condition: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x (B, T, D), condition (B, C), valid (B, T) to (B, T, D)."""
        y = self.film(self.norm_in(x), condition)
        if valid is not None:
            y = y * valid[..., None].to(x.dtype)
        return self.norm(x + self.dropout(self.gru(y)[0]))


def build_temporal(
    kind: str,
    width: int,
    layers: int,
    condition: int,
    *,
    heads: int = 4,
    feedforward: int = 2,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    attention_bias: str = "alibi",
    period: int = 25,
    memory: int = 0,
) -> nn.Module | None:
    """Return the module for one of `TEMPORAL_MODULES`; None for ``none``.

    Args:
        kind: see `TEMPORAL_MODULES`.
        width: D.
        layers: depth, 1 or more.
        condition: size of the condition vector.
        heads: attention heads (transformer).
        feedforward: size of the hidden layer as a multiple of D (transformer).
        dropout: in every block.
        stochastic_depth: probability of dropping the deepest residual branch (transformer, conv).
        attention_bias: see `expnet.models.attention.ATTENTION_BIASES` (transformer).
        period: of ``alibi_periodic``, frames.
        memory: frames that ``alibi_causal`` sees, 0 for all (transformer).
    """
    if kind == "transformer":
        return Transformer(
            width,
            layers,
            condition,
            heads=heads,
            feedforward=feedforward,
            dropout=dropout,
            stochastic_depth=stochastic_depth,
            attention_bias=attention_bias,
            period=period,
            memory=memory,
        )
    if kind == "conv":
        return Convolution(width, layers, condition, dropout=dropout, stochastic_depth=stochastic_depth)
    if kind == "gru":
        return Recurrent(width, layers, condition, dropout=dropout)
    if kind == "none":
        return None
    raise ConfigError(f"temporal_module is one of {', '.join(TEMPORAL_MODULES)}, not {kind!r}.")
