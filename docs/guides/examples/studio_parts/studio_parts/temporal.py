"""A temporal module: the minimal GRU of Feng et al. 2024, whose gates see the input alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from expnet.errors import ConfigError
from expnet.models.temporal import TemporalOptions


@dataclass(frozen=True)
class MinimalGruOptions(TemporalOptions):
    """Sizes that the configuration of the model holds, such as ``layers`` and ``dropout``, and one of its own.

    Attributes:
        expansion: Size of the state as a multiple of the width.
    """

    expansion: float = 1.0

    def __post_init__(self) -> None:
        """Check the range."""
        if self.expansion <= 0:
            raise ConfigError(f"expansion must be above 0, not {self.expansion}.")


class MinimalGru(nn.Module):
    """Layers of ``h_t = (1 - z_t) h_(t-1) + z_t c_t``, forwards in time, with residual connections.

    Source: Feng et al., "Were RNNs all we needed?", 2024, section 3.1.

    Args:
        width: D, size of the features.
        condition: C, size of the condition vector, which holds the first frame's expression.
        options: Sizes and switches.
    """

    def __init__(self, width: int, condition: int, options: MinimalGruOptions) -> None:
        super().__init__()
        state = max(1, round(width * options.expansion))
        self.shift = nn.Linear(condition, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(options.layers))
        self.gates = nn.ModuleList(nn.Linear(width, 2 * state) for _ in range(options.layers))
        self.outputs = nn.ModuleList(nn.Linear(state, width) for _ in range(options.layers))
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x: Tensor, condition: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x (B, T, D), condition (B, C) and valid (B, T) bool to (B, T, D)."""
        x = x + self.shift(condition)[:, None]
        for norm, gates, output in zip(self.norms, self.gates, self.outputs, strict=True):
            update, candidate = gates(norm(x)).chunk(2, dim=-1)  # (B, T, S)
            update = update.sigmoid()
            if valid is not None:
                update = update * valid[..., None]  # padded frames leave the state alone
            state, states = torch.zeros_like(candidate[:, 0]), []
            for gate, new in zip(update.unbind(1), candidate.unbind(1), strict=True):
                state = (1 - gate) * state + gate * new
                states.append(state)
            x = x + self.dropout(output(torch.stack(states, dim=1)))
        return x
