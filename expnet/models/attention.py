"""Self-attention with a position-dependent bias on its scores: ALiBi and its variants.

ALiBi (Press et al., arXiv 2108.12409) adds ``-slope_h * distance`` to the score of head ``h`` instead of position
embeddings. No absolute position is embedded, so a network trained on 64 frames extrapolates to 1500. The published form
is causal; an offline regressor attends to both sides, hence the symmetric ``-slope_h * |i - j|``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expnet.config.built_in_parts import BUILT_IN
from expnet.errors import ConfigError


def alibi_slopes(heads: int) -> Tensor:
    """Return the slopes of ALiBi for any number of heads.

    For a power of two they are the geometric series from ``2^(-8/heads)`` with that ratio. Otherwise they are those of
    the next lower power of two, then every second one of twice that power (``get_slopes`` in the authors' repository).

    Args:
        heads: Number of heads, at least 1.

    Returns:
        (heads,) float32, in (0, 1).
    """
    if heads < 1:
        raise ConfigError(f"The number of attention heads must be 1 or more, not {heads}.")
    power = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (head + 1) / power) for head in range(power)]
    slopes += [2.0 ** (-8.0 * (head + 1) / (2 * power)) for head in range(0, 2 * power, 2)][: heads - power]
    return torch.tensor(slopes)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Return the sinusoidal position encoding of Vaswani et al. (2017) for positions of any size.

    Args:
        positions: (T,) positions, in frames.
        width: Size of an encoding.

    Returns:
        (T, width) float32 in [-1, 1]: sines in the even columns, cosines in the odd ones.
    """
    rates = torch.exp(
        torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) * (-math.log(10000.0) / width)
    )
    angles = positions[:, None].float() * rates  # (T, ceil(width / 2))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]  # (T, width)


class PositionBias(nn.Module):
    """A bias to add to attention scores, and positions to add to the input.

    alibi: symmetric, ``-slope |i - j|``.
    alibi_causal: ``-slope (i - j)``, with the future masked.
    alibi_periodic: FaceFormer's, ``-slope floor((i - j) / period)``, future masked, plus sinusoids of ``i mod period``.
    alibi_learned: symmetric, with trainable slopes.
    sinusoidal: absolute positions added to the input, scores unbiased.
    none: neither; only the audio encoder then carries the order of frames.

    Args:
        kind: One of these names.
        heads: Number of attention heads.
        period: Period of ``alibi_periodic`` in frames (FaceFormer: 25 at 25 frames/s).
        memory: Number of frames that ``alibi_causal`` attends to, including the frame itself; 0 for all.
    """

    slopes: Tensor

    def __init__(self, kind: str, heads: int, *, period: int = 25, memory: int = 0) -> None:
        super().__init__()
        known = BUILT_IN["attention_biases"]
        if kind not in known:
            raise ConfigError(f"attention_bias must be one of {', '.join(known)}, not {kind!r}.")
        self.kind = kind
        self.heads = heads
        self.period = period
        self.memory = memory
        slopes = alibi_slopes(heads)
        if kind == "alibi_learned":
            # The logarithm keeps slopes positive, so attention may become flat but never prefers distant frames.
            self.log_slopes = nn.Parameter(slopes.log())
        else:
            self.register_buffer("slopes", slopes, persistent=False)

    def forward(self, frames: int, *, device: torch.device, dtype: torch.dtype, before: int = 0) -> Tensor | None:
        """Return the bias for a sequence of ``frames``, its rows from the last frame to the first.

        A bias depends on the distance only. In this order each row is the previous row shifted by one, so the matrix is
        a view of one vector of all distances: on a CPU nothing of size T x T is computed or stored. It is computed in
        float32 and cast once, since bfloat16 cannot represent all integers beyond 256.

        Args:
            frames: Number of frames T.
            device: Device of the result.
            dtype: Type of the result.
            before: Number P of earlier frames that are attended to as well.

        Returns:
            (1, heads, T, P + T) with -inf where row ``T - 1 - i`` must not attend to column j; None for kinds without
            a bias. Read-only, because entries share memory.
        """
        if self.kind in ("sinusoidal", "none"):
            return None
        keys = before + frames
        # From the last query on the first key to the first query on the last key; positive for keys in the past.
        behind = keys - 1 - torch.arange(keys + frames - 1, device=device, dtype=torch.float32)  # (P + 2 T - 1,)
        if self.kind == "alibi_periodic":
            distance = torch.div(behind, self.period, rounding_mode="floor")
        else:
            distance = behind.abs()
        slopes = self.log_slopes.exp() if self.kind == "alibi_learned" else self.slopes
        bias = -slopes[:, None] * distance  # (H, P + 2 T - 1)
        if self.kind in ("alibi_causal", "alibi_periodic"):
            bias = bias.masked_fill(behind < 0, -math.inf)
        if self.memory:
            bias = bias.masked_fill(behind >= self.memory, -math.inf)
        # Four dimensions are needed: a (H, T, T) mask is not on the fast path of scaled_dot_product_attention.
        bias = bias[None].to(dtype)
        if device.type == "cpu" and not torch.compiler.is_compiling():
            return bias.unfold(-1, keys, 1)  # (1, H, T, P + T)
        # GPU kernels load rows aligned to 16 bytes, and an exported graph would fix the sizes of a view.
        return bias[..., torch.arange(frames, device=device)[:, None] + torch.arange(keys, device=device)]

    def add_positions(self, x: Tensor) -> Tensor:
        """Add absolute or periodic positions to x (B, T, D), for kinds that have them."""
        position = torch.arange(x.shape[1], device=x.device)
        if self.kind == "sinusoidal":
            return x + sinusoids(position, x.shape[2]).to(x.dtype)
        if self.kind == "alibi_periodic":
            return x + sinusoids(position % self.period, x.shape[2]).to(x.dtype)
        return x


def merge_padding(
    bias: Tensor | None, valid: Tensor | None, *, batch: int, heads: int, dtype: torch.dtype
) -> Tensor | None:
    """Merge a bias and a validity mask into one float mask for scaled_dot_product_attention.

    The mask is added to the scores, so padded keys are -inf. A row whose keys are all masked keeps its bias: its output
    is never used, but must not become NaN and spoil the gradients.

    Args:
        bias: (1, H, T, T) bias of `PositionBias`, or None.
        valid: (B, T) bool, false where a frame is padding, or None.
        batch: Batch size B.
        heads: Number of heads H.
        dtype: Type of the result.

    Returns:
        (B, H, T, T), or None when there is nothing to add.
    """
    if valid is None:
        return None if bias is None else bias.expand(batch, heads, -1, -1)
    frames = valid.shape[1]
    if bias is None:
        bias = torch.zeros(1, 1, frames, frames, dtype=dtype, device=valid.device)
    padding = ~valid[:, None, None, :]  # (B, 1, 1, T)
    merged = bias.masked_fill(padding, -math.inf)  # (B, H or 1, T, T)
    masked_rows = torch.isneginf(merged).all(dim=-1, keepdim=True)
    return torch.where(masked_rows, bias, merged).expand(batch, heads, -1, -1)


class KeyValueCache:
    """Keys and values of past frames for causal attention, so that each frame is computed once.

    Args:
        memory: Number of frames that a frame attends to, including itself; older ones are dropped.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._kept: tuple[Tensor, Tensor] | None = None

    @property
    def frames(self) -> int:
        """Number of cached frames."""
        return 0 if self._kept is None else self._kept[0].shape[2]

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append new keys and values (B, H, T, D / H) to the cached ones, and return all of them."""
        if self._kept is not None:
            key, value = (torch.cat(pair, dim=2) for pair in zip(self._kept, (key, value), strict=True))
        oldest = max(key.shape[2] - (self.memory - 1), 0)
        self._kept = key[:, :, oldest:], value[:, :, oldest:]
        return key, value


class SelfAttention(nn.Module):
    """Multi-head self-attention over scaled_dot_product_attention with an additive bias.

    Args:
        width: Size of the features D, divisible by ``heads``.
        heads: Number of heads H.
        dropout: Dropout of the attention weights, in training only.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"width ({width}) must be a multiple of heads ({heads}).")
        self.heads = heads
        self.dropout = dropout
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None) -> Tensor:
        """Attend to x, and to cached frames if there are any.

        Args:
            x: (B, T, D).
            mask: (B, H, T, T), or (B, H, T, P + T) with a cache of P frames: float mask that is added to the scores,
                with rows from the last frame to the first; see `merge_padding`.
            cache: Keys and values of the frames before; those of x are added.

        Returns:
            (B, T, D).
        """
        batch, frames, width = x.shape
        query, key, value = self.project_in(x).view(batch, frames, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.extend(key, value)
        if mask is not None:
            query = query.flip(2)
        attended = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0
        )  # (B, H, T, D / H)
        if mask is not None:
            attended = attended.flip(2)
        return self.project_out(attended.transpose(1, 2).reshape(batch, frames, width))
