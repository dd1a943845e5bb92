"""An autoregressive decoder of expressions: each frame is made from the sound and from the frames before it.

The form of FaceFormer (Fan et al., arXiv 2112.05329) at this package's size: an encoder over the sound, then a decoder
with causal self-attention over its own past expressions (ALiBi in steps of a period, positions that repeat with it)
and cross-attention in which a frame sees the sound of that frame alone. As there, training runs frame by frame on the
network's own output, so that it meets in use what it met in training. It is a baseline: of accuracy, and of speed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expnet.models.attention import PositionBias, sinusoids
from expnet.models.expression_regressor import ExpressionRegressor

Past = tuple[Tensor, Tensor]
"""Keys and values (B, H, t, D / H) of the frames so far."""


class CachedAttention(nn.Module):
    """Self-attention of one new frame over all frames so far.

    Args:
        width: D, divisible by ``heads``.
        heads: H.
        dropout: of the attention weights, in training only.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """Attend from x (B, 1, D) under bias (1, H, 1, t + 1); return (B, 1, D) and the past with this frame in it."""
        query, key, value = self.project_in(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            key, value = (torch.cat(pair, dim=2) for pair in zip(past, (key, value), strict=True))
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=bias.expand(x.shape[0], -1, -1, -1),
            dropout_p=self.dropout if self.training else 0.0,
        )  # (B, H, 1, D / H)
        return self.project_out(attended.transpose(1, 2).flatten(2)), (key, value)


class DecoderBlock(nn.Module):
    """Pre-norm self-attention over the past, the sound of the frame, and a feed-forward layer.

    Args:
        width: D.
        heads: H.
        feedforward: hidden layer, as a multiple of D.
        dropout: everywhere.
    """

    def __init__(self, width: int, heads: int, *, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = CachedAttention(width, heads, dropout=dropout)
        # FaceFormer's alignment mask leaves cross-attention a single key, whose weight is 1: what is left of it is the
        # map of the values.
        self.listen = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(feedforward * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, sound: Tensor, bias: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """Map x (B, 1, D) with the frame's sound (B, 1, D) to (B, 1, D), and the past with this frame in it."""
        attended, past = self.attention(self.norm_attention(x), bias, past)
        x = x + self.dropout(attended)
        x = x + self.dropout(self.listen(sound))
        return x + self.dropout(self.feedforward(self.norm_feedforward(x))), past


class AutoregressiveRegressor(ExpressionRegressor):
    """An `ExpressionRegressor` whose last layer is a decoder over its own past expressions.

    ``expression[t] = first + std * head(decoder(sound[t], expression[0 .. t - 1]))``; in place of the frame before the
    first stands the first frame's expression. T frames cost T passes one after the other, with keys and values kept.

    Args:
        decoder_layers: depth of the decoder (FaceFormer: 1).
        network: name under which `expnet.models.saved_model` knows this class.
        **options: of `ExpressionRegressor`; its temporal module is the encoder of the sound.
    """

    frame_by_frame = False  # its decoder runs over whole clips only

    def __init__(self, *, decoder_layers: int = 1, network: str = "autoregressive", **options: Any) -> None:
        super().__init__(**options)
        given = self.options
        self.options = {**given, "decoder_layers": decoder_layers, "network": network}
        head = self.head
        # The regressor then ends with the features that its last layer would have seen.
        nothing: Any = nn.Identity()
        self.head, self.bottleneck = nothing, nothing
        self.read = nn.Linear(head.in_features, given["width"])
        self.embed_past = nn.Linear(given["expression_size"], given["width"])
        self.bias = PositionBias("alibi_periodic", given["heads"], period=given["period"])
        self.blocks = nn.ModuleList(
            DecoderBlock(given["width"], given["heads"], feedforward=given["feedforward"], dropout=given["dropout"])
            for _ in range(decoder_layers)
        )
        self.norm = nn.LayerNorm(given["width"])
        self.write = nn.Linear(given["width"], given["expression_size"])
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def _change(self, mel: Tensor, frames: int, *conditions: Any) -> Tensor:
        """Change from the first frame, (B, T, E), in standard deviations."""
        return self.decode(super()._change(mel, frames, *conditions))

    def decode(self, sound: Tensor) -> Tensor:
        """Make the frames one after the other from features of the sound (B, T, D): (B, T, E)."""
        sound = self.read(sound)
        frames = sound.shape[1]
        bias = self.bias(frames, device=sound.device, dtype=sound.dtype)  # (1, H, T, T)
        assert bias is not None
        place = torch.arange(frames, device=sound.device) % self.bias.period
        positions = sinusoids(place, sound.shape[2]).to(sound.dtype)  # (T, D)
        pasts: list[Past | None] = [None] * len(self.blocks)
        change = sound.new_zeros(sound.shape[0], len(self.expression_mean))
        changes = []
        for frame in range(frames):
            x = (self.embed_past(change * self.importance) + positions[frame])[:, None]  # (B, 1, D)
            seen = bias[:, :, frames - 1 - frame, None, : frame + 1]  # rows count from the end
            for layer, block in enumerate(self.blocks):
                x, pasts[layer] = block(x, sound[:, frame : frame + 1], seen, pasts[layer])
            change = self.write(self.norm(x))[:, 0]  # (B, E)
            changes.append(change)
        return torch.stack(changes, dim=1)
