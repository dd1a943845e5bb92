"""The temporal module: a Transformer encoder, a stack of convolutions, a recurrent network, or nothing.

All of them map (B, T, D) to (B, T, D), are conditioned on one vector per clip, and ignore padded frames, so that
``temporal_module`` is a single switch. A temporal module of another package is called in the same way
(docs/guides/own_parts.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from expnet.config.part_options import make_options
from expnet.config.parts import find_part
from expnet.errors import ConfigError
from expnet.models.attention import KeyValueCache, PositionBias, SelfAttention, merge_padding
from expnet.models.recomputation import run_block


@dataclass(frozen=True)
class TemporalOptions:
    """Sizes and switches of a temporal module.

    Attributes:
        layers: Depth, at least 1.
        heads: Number of attention heads (transformer).
        feedforward: Size of the hidden layer as a multiple of D (transformer).
        dropout: Dropout of every block.
        stochastic_depth: Probability of dropping the deepest residual branch (transformer, conv).
        attention_bias: Name of an attention bias, see `build_bias` (transformer).
        period: Period of ``alibi_periodic`` in frames (transformer).
        memory: Number of frames that ``alibi_causal`` attends to; 0 for all (transformer).
        bias_options: Options of an attention bias of another package (transformer).
    """

    layers: int
    heads: int = 1
    feedforward: int = 2
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    attention_bias: str = "alibi"
    period: int = 25
    memory: int = 0
    bias_options: dict[str, Any] = field(default_factory=dict)


def build_bias(options: TemporalOptions) -> PositionBias:
    """Return the attention bias that the options name.

    Raises:
        ConfigError: There is no attention bias of this name.
    """
    part = find_part("attention_biases", options.attention_bias, "attention_bias")
    if part.built_in:
        return PositionBias(part.name, options.heads, period=options.period, memory=options.memory)
    return part.target(options.heads, **make_options(part, options.bias_options, asdict(options)))


class StochasticDepth(nn.Module):
    """Drops a residual branch for whole examples, in training only (Huang et al., arXiv 1603.09382)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        """Return the branch (B, T, D): zero for some of the examples and scaled up for the others."""
        if not self.training or self.probability == 0:
            return branch
        keep = 1.0 - self.probability
        kept = torch.rand(branch.shape[0], 1, 1, device=branch.device) < keep
        return branch * kept / keep


class Film(nn.Module):
    """Scales and shifts features by a condition (Perez et al., arXiv 1709.07871); the identity until trained."""

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
    """Pre-norm attention and feed-forward layer, each a residual branch under stochastic depth."""

    def __init__(self, width: int, condition: int, options: TemporalOptions, *, stochastic_depth: float) -> None:
        super().__init__()
        hidden, dropout = options.feedforward * width, options.dropout
        self.norm_attention = nn.LayerNorm(width)
        self.film = Film(condition, width)
        self.attention = SelfAttention(width, options.heads, dropout=dropout)
        self.norm_feedforward = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(dropout)
        self.drop_path = StochasticDepth(stochastic_depth)

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor | None, cache: KeyValueCache | None = None) -> Tensor:
        """Map x (B, T, D) to (B, T, D)."""
        attended = self.attention(self.film(self.norm_attention(x), condition), mask, cache)
        x = x + self.drop_path(self.dropout(attended))
        return x + self.drop_path(self.dropout(self.feedforward(self.norm_feedforward(x))))


class Transformer(nn.Module):
    """A stack of `TransformerBlock` layers with an attention bias.

    Args:
        width: Size of the features D.
        condition: Size of the condition vector C.
        options: Sizes and switches.
    """

    def __init__(self, width: int, condition: int, options: TemporalOptions) -> None:
        super().__init__()
        self.heads = options.heads
        self.bias = build_bias(options)
        self.blocks = nn.ModuleList(
            # Deeper branches are dropped more often, as in the source.
            TransformerBlock(
                width, condition, options, stochastic_depth=options.stochastic_depth * (layer + 1) / options.layers
            )
            for layer in range(options.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.recomputes = False

    def forward(self, x: Tensor, condition: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x (B, T, D), condition (B, C) and valid (B, T) to (B, T, D)."""
        x = self.bias.add_positions(x)
        bias = self.bias(x.shape[1], device=x.device, dtype=x.dtype)
        mask = merge_padding(bias, valid, batch=x.shape[0], heads=self.heads, dtype=x.dtype)
        for block in self.blocks:
            x = run_block(block, x, condition, mask, recompute=self.recomputes)
        return self.norm(x)

    def caches(self) -> list[KeyValueCache]:
        """Return empty caches for `resume`, one per block; only for ``alibi_causal`` with a memory."""
        return [KeyValueCache(self.bias.memory) for _ in self.blocks]

    def resume(self, x: Tensor, condition: Tensor, caches: list[KeyValueCache]) -> Tensor:
        """Map the next frames x (B, T, D) as `forward` would at the end of all frames so far."""
        bias = self.bias(x.shape[1], device=x.device, dtype=x.dtype, before=caches[0].frames)
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, condition, bias, cache)
        return self.norm(x)


class ConvolutionBlock(nn.Module):
    """A residual dilated convolution over time, kernel 5, with each frame normalised first."""

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
    """A stack of `ConvolutionBlock` layers with dilations 1, 2, 4, ...

    Args:
        width: Size of the features D.
        condition: Size of the condition vector C.
        options: Sizes and switches; layers, dropout and stochastic depth are used.
    """

    def __init__(self, width: int, condition: int, options: TemporalOptions) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConvolutionBlock(
                width,
                condition,
                dilation=2**layer,
                dropout=options.dropout,
                stochastic_depth=options.stochastic_depth * (layer + 1) / options.layers,
            )
            for layer in range(options.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, condition: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x (B, T, D), condition (B, C) and valid (B, T) to (B, T, D)."""
        keep = None if valid is None else valid[..., None].to(x.dtype)
        for block in self.blocks:
            x = block(x, condition, keep)
        return self.norm(x)


class Recurrent(nn.Module):
    """A bidirectional GRU with a residual connection.

    Args:
        width: Size of the features D.
        condition: Size of the condition vector C.
        options: Sizes and switches; layers and dropout are used.
    """

    def __init__(self, width: int, condition: int, options: TemporalOptions) -> None:
        super().__init__()
        layers, dropout = options.layers, options.dropout
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
        """Map x (B, T, D), condition (B, C) and valid (B, T) to (B, T, D)."""
        y = self.film(self.norm_in(x), condition)
        if valid is not None:
            y = y * valid[..., None].to(x.dtype)
        return self.norm(x + self.dropout(self.gru(y)[0]))


def build_temporal(
    kind: str, width: int, condition: int, options: TemporalOptions, own: Mapping[str, Any] | None = None
) -> nn.Module | None:
    """Return the temporal module of a name; None for ``none``.

    Args:
        kind: A name that `expnet.config.parts.find_part` knows.
        width: Size of the features D.
        condition: Size of the condition vector C.
        options: Sizes and switches.
        own: Options of a temporal module of another package.

    Raises:
        ConfigError: There is no temporal module of this name, or it is no ``nn.Module``.
    """
    part = find_part("temporal_modules", kind, "temporal_module")
    if part.target is None:
        return None
    if part.built_in:
        return part.target(width, condition, options)
    module = part.target(width, condition, **make_options(part, own or {}, asdict(options)))
    if not isinstance(module, nn.Module):
        raise ConfigError(f"temporal_module={kind} must make a torch.nn.Module, not a {type(module).__name__}.")
    return module
