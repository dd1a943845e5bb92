"""An autoregressive decoder of expressions: each frame is computed from the audio and the frames before it.

This is FaceFormer (Fan et al., arXiv 2112.05329) at the size of this package's networks: an audio encoder, then a
decoder with causal self-attention over its own past expressions (periodic ALiBi and periodic positions) and
cross-attention in which a frame attends to its own audio only. As in FaceFormer, training decodes frame by frame from
the network's own output, so that training and inference agree. It is a baseline for accuracy and for speed.
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
        width: Size of the features D, divisible by ``heads``.
        heads: Number of heads H.
        dropout: Dropout of the attention weights, in training only.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """Attend from x (B, 1, D) with bias (1, H, 1, t + 1); return (B, 1, D) and the past including this frame."""
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
    """Pre-norm self-attention over the past, a projection of the frame's audio, and a feed-forward layer.

    Args:
        width: Size of the features D.
        heads: Number of heads H.
        feedforward: Size of the hidden layer as a multiple of D.
        dropout: Dropout of every layer.
    """

    def __init__(self, width: int, heads: int, *, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = CachedAttention(width, heads, dropout=dropout)
        # FaceFormer's alignment mask leaves cross-attention a single key, whose weight is 1, so only the value
        # projection remains.
        self.listen = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(feedforward * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, audio: Tensor, bias: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """Map x (B, 1, D) with the frame's audio (B, 1, D) to (B, 1, D); also return the past including this frame."""
        attended, past = self.attention(self.norm_attention(x), bias, past)
        x = x + self.dropout(attended)
        x = x + self.dropout(self.listen(audio))
        return x + self.dropout(self.feedforward(self.norm_feedforward(x))), past


class AutoregressiveRegressor(ExpressionRegressor):
    """An `ExpressionRegressor` whose last layer is a decoder over its own past expressions.

    ``expression[t] = first + std * head(decoder(audio[t], expression[0 .. t - 1]))``; the decoder starts from the first
    frame's expression. T frames take T sequential passes, with cached keys and values.

    Args:
        decoder_layers: Depth of the decoder (FaceFormer: 1).
        network: Name under which `expnet.models.saved_model` knows this class.
        **options: Options of `ExpressionRegressor`, whose temporal module encodes the audio.
    """

    frame_by_frame = False  # its decoder runs over whole clips only

    def __init__(self, *, decoder_layers: int = 1, network: str = "autoregressive", **options: Any) -> None:
        super().__init__(**options)
        given = self.options
        self.options = {**given, "decoder_layers": decoder_layers, "network": network}
        head = self.head
        # The regressor then returns the features that its last layer would have read.
        identity: Any = nn.Identity()
        self.head, self.bottleneck = identity, identity
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
        """Return the change (B, T, E), in standard deviations, for a levelled mel."""
        return self.decode(super()._change(mel, frames, *conditions))

    def decode(self, audio: Tensor) -> Tensor:
        """Decode audio features (B, T, D) frame by frame to the change (B, T, E), in standard deviations."""
        audio = self.read(audio)
        frames = audio.shape[1]
        bias = self.bias(frames, device=audio.device, dtype=audio.dtype)  # (1, H, T, T)
        assert bias is not None
        phase = torch.arange(frames, device=audio.device) % self.bias.period
        positions = sinusoids(phase, audio.shape[2]).to(audio.dtype)  # (T, D)
        pasts: list[Past | None] = [None] * len(self.blocks)
        change = audio.new_zeros(audio.shape[0], len(self.expression_mean))
        changes = []
        for frame in range(frames):
            x = (self.embed_past(change * self.importance) + positions[frame])[:, None]  # (B, 1, D)
            seen = bias[:, :, frames - 1 - frame, None, : frame + 1]  # the rows run from the last frame to the first
            for layer, block in enumerate(self.blocks):
                x, pasts[layer] = block(x, audio[:, frame : frame + 1], seen, pasts[layer])
            change = self.write(self.norm(x))[:, 0]  # (B, E)
            changes.append(change)
        return torch.stack(changes, dim=1)
