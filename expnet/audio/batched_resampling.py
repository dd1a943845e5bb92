"""Audio of a batch at other speeds, each row at its own, on the device of the training.

The filter is that of `scipy.signal.resample_poly`, so a row is what `expnet.audio.augmentation.change_speed` makes of
it. At a speed of ``down / up``, every ``up`` samples of the output are the same linear function of a stretch of the
input that begins ``down`` samples after the one before, so the whole is one product of matrices.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import scipy.signal
import torch
from torch import Tensor

from expnet.audio.augmentation import LARGEST_DENOMINATOR

_HALF_WIDTH = 10  # samples of the lower of both rates, as in scipy


def change_speeds(audio: Sequence[Tensor], factors: Sequence[float], length: int) -> Tensor:
    """Resample so that each row plays ``factors[row]`` times as fast, pitch included, without aliasing.

    Factors are rounded to fractions with a denominator of at most 100.

    Args:
        audio: Samples of each row, (S,) or fewer in some rows; silent outside.
        factors: Factor of each row.
        length: Samples to return.

    Returns:
        (B, length)
    """
    changed = audio[0].new_empty(len(audio), length)
    for row, target, factor in zip(audio, changed, factors, strict=True):
        ratio = Fraction(factor).limit_denominator(LARGEST_DENOMINATOR)
        up, down = ratio.denominator, ratio.numerator
        if up == down:
            target.copy_(torch.nn.functional.pad(row, (0, max(length - len(row), 0)))[:length])
            continue
        before, weights = _polyphase(up, down, row.device)  # (J, up)
        blocks = -(-length // up)
        after = max((blocks - 1) * down + len(weights) - before - len(row), 0)
        stretches = torch.nn.functional.pad(row, (before, after)).unfold(0, len(weights), down)[:blocks]  # (N, J)
        target.copy_((stretches @ weights).flatten()[:length])
    return changed


@lru_cache(maxsize=2048)
def _polyphase(up: int, down: int, device: torch.device) -> tuple[int, Tensor]:
    """Return the samples before the first one that a block of ``up`` output samples needs, and its matrix (J, up)."""
    most = max(up, down)
    half = _HALF_WIDTH * most
    taps = torch.from_numpy(up * scipy.signal.firwin(2 * half + 1, 1.0 / most, window=("kaiser", 5.0))).float()
    before = half // up
    last = ((up - 1) * down + half) // up
    samples = torch.arange(-before, last + 1)[:, None]  # (J, 1)
    place = half + torch.arange(up) * down - samples * up  # (J, up)
    known = (place >= 0) & (place <= 2 * half)
    return before, (taps[place.clamp(0, 2 * half)] * known).to(device)
