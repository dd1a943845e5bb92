"""Self-attention whose sense of time is a bias on its scores: ALiBi and its relatives.

ALiBi (Press et al., arXiv 2108.12409) adds ``-slope_h * distance`` to the score of head ``h`` in place of position
embeddings: no index is ever embedded, so a network trained on 64 frames meets nothing new at 1500.
The published form is causal; an offline regressor looks both ways, hence the symmetric ``-slope_h * |i - j|``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expnet.errors import ConfigError

ATTENTION_BIASES = ("alibi", "alibi_causal", "alibi_periodic", "alibi_learned", "sinusoidal", "none")
"""What ``attention_bias`` may be.

alibi: symmetric, ``-slope |i - j|``.
alibi_causal: ``-slope (i - j)``, and the future is hidden.
alibi_periodic: FaceFormer's, ``-slope floor((i - j) / period)``, future hidden, sinusoids of ``i mod period`` added.
alibi_learned: symmetric, with slopes that are trained.
sinusoidal: absolute positions added to the input, scores unbiased.
none: neither; the order of frames is then known only through the audio front end.
"""


def alibi_slopes(heads: int) -> Tensor:
    """Return the slopes of ALiBi for any number of heads.

    For a power of two they are the geometric series from ``2^(-8/heads)`` with that ratio. Otherwise: those of the next
    lower power of two, then every second one of twice that power (fairseq ``get_slopes`` of the authors' repository).

    Args:
        heads: number of heads, 1 or more.

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
    """Return the sine and cosine code of Vaswani et al. (2017) for positions of any size.

    Args:
        positions: (T,) positions, in frames.
        width: size of a code.

    Returns:
        (T, width) float32 in [-1, 1]: sines in the even columns, cosines in the odd ones.
    """
    rates = torch.exp(
        torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) * (-math.log(10000.0) / width)
    )
    angles = positions[:, None].float() * rates  # (T, ceil(width / 2))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]  # (T, width)


class PositionBias(nn.Module):
    """One of `ATTENTION_BIASES` as a tensor to add to attention scores, and as positions to add to the input.

    Args:
        kind: see `ATTENTION_BIASES`.
        heads: number of attention heads.
        period: of the periodic form, in frames (FaceFormer: 25 at 25 frames/s).
        memory: frames that ``alibi_causal`` sees, a frame itself included; 0 for all.
    """

    slopes: Tensor

    def __init__(self, kind: str, heads: int, *, period: int = 25, memory: int = 0) -> None:
        super().__init__()
        if kind not in ATTENTION_BIASES:
            raise ConfigError(f"attention_bias must be one of {', '.join(ATTENTION_BIASES)}, not {kind!r}.")
        self.kind = kind
        self.heads = heads
        self.period = period
        self.memory = memory
        slopes = alibi_slopes(heads)
        if kind == "alibi_learned":
            # The logarithm keeps a slope positive: attention may get flat, but never prefers the far over the near.
            self.log_slopes = nn.Parameter(slopes.log())
        else:
            self.register_buffer("slopes", slopes, persistent=False)

    def forward(self, frames: int, *, device: torch.device, dtype: torch.dtype, before: int = 0) -> Tensor | None:
        """Return the bias for a sequence of ``frames``, its rows from the last frame to the first.

        A bias depends on the distance alone. In that order each row is the row before it shifted by one, so that the
        matrix is a view of one vector of all distances: on a processor nothing of size T x T is computed or held.
        Computed in float32 and cast once: bfloat16 has no unit steps beyond 256.

        Args:
            frames: T.
            device: of the result.
            dtype: of the result.
            before: P, frames that were seen earlier and are looked at again.

        Returns:
            (1, heads, T, P + T) of ``dtype`` with -inf where row ``T - 1 - i`` may not see column j; None where there
            is no bias. Only to be read: its entries share memory.
        """
        if self.kind in ("sinusoidal", "none"):
            return None
        seen = before + frames
        # From the last frame looking at the first, to the first looking at the last; positive in the past.
        behind = seen - 1 - torch.arange(seen + frames - 1, device=device, dtype=torch.float32)  # (P + 2 T - 1,)
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
        # Four dimensions on purpose: a (H, T, T) mask falls off the fast path of scaled_dot_product_attention.
        bias = bias[None].to(dtype)
        if device.type == "cpu" and not torch.compiler.is_compiling():
            return bias.unfold(-1, seen, 1)  # (1, H, T, P + T)
        # Kernels of accelerators load rows that begin at multiples of 16 bytes, and a graph would fix a view's sizes.
        return bias[..., torch.arange(frames, device=device)[:, None] + torch.arange(seen, device=device)]

    def add_positions(self, x: Tensor) -> Tensor:
        """Add absolute or periodic positions to x (B, T, D) where the kind has them."""
        position = torch.arange(x.shape[1], device=x.device)
        if self.kind == "sinusoidal":
            return x + sinusoids(position, x.shape[2]).to(x.dtype)
        if self.kind == "alibi_periodic":
            return x + sinusoids(position % self.period, x.shape[2]).to(x.dtype)
        return x


def merge_padding(
    bias: Tensor | None, valid: Tensor | None, *, batch: int, heads: int, dtype: torch.dtype
) -> Tensor | None:
    """Hide padded keys: one float mask for scaled_dot_product_attention out of a bias and a validity mask.

    A float mask is added to the scores, so hidden means -inf, not 0 or 1. A row that would see nothing at all keeps its
    bias (its output is never used, but must not turn into NaN and poison gradients).

    Args:
        bias: (1, H, T, T) of `PositionBias` or None.
        valid: (B, T) bool, false where a frame is padding, or None.
        batch: B.
        heads: H.
        dtype: of the result.

    Returns:
        (B, H, T, T), or None when there is nothing to add.
    """
    if valid is None:
        return None if bias is None else bias.expand(batch, heads, -1, -1)
    frames = valid.shape[1]
    if bias is None:
        bias = torch.zeros(1, 1, frames, frames, dtype=dtype, device=valid.device)
    hidden = ~valid[:, None, None, :]  # (B, 1, 1, T)
    merged = bias.masked_fill(hidden, -math.inf)  # (B, H or 1, T, T)
    blind = torch.isneginf(merged).all(dim=-1, keepdim=True)
    return torch.where(blind, bias, merged).expand(batch, heads, -1, -1)


class KeyValueCache:
    """Keys and values of the frames that a causal attention has seen, so that each frame is computed once.

    Args:
        memory: frames that a frame sees, itself included; older ones are forgotten.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._kept: tuple[Tensor, Tensor] | None = None

    @property
    def frames(self) -> int:
        """Number of frames that are kept."""
        return 0 if self._kept is None else self._kept[0].shape[2]

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put new keys and values (B, H, T, D / H) behind the kept ones, and return them all."""
        if self._kept is not None:
            key, value = (torch.cat(pair, dim=2) for pair in zip(self._kept, (key, value), strict=True))
        oldest = max(key.shape[2] - (self.memory - 1), 0)
        self._kept = key[:, :, oldest:], value[:, :, oldest:]
        return key, value


class SelfAttention(nn.Module):
    """Multi-head self-attention over scaled_dot_product_attention with an additive bias.

    Args:
        width: D, divisible by ``heads``.
        heads: H.
        dropout: of the attention weights, in training only.
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
        """Attend.

        Args:
            x: (B, T, D).
            mask: (B, H, T, T) float, added to the scores, its rows from the last frame to the first; see
                `merge_padding`; with a cache of P frames (B, H, T, P + T).
            cache: of the frames before; it takes up these.

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
