"""The noise that a motion is drawn from: one value for each seed, frame and column, wherever a window begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from expnet.errors import InputError
from expnet.models.flow_matching.layout import MotionLayout

BLOCK = 64
"""Frames whose noise is drawn at once."""


class FrameNoise:
    """Gaussian noise of any frame of any length of speech, drawn on the CPU.

    The noise of a frame depends on the seed and on the frame alone, so a motion does not depend on how the speech was
    cut, on what else is in the batch or on the device. Every group has its own columns: leaving one out does not change
    the others.

    Args:
        seeds: One seed for each motion of the batch, 0 or more.
        layout: The columns of the motion.
        smooth: Frames over which the noise of the head is smooth, see `smooth_head`.

    Raises:
        InputError: A seed is negative.
    """

    def __init__(self, seeds: Sequence[int], layout: MotionLayout, *, smooth: int) -> None:
        if any(seed < 0 for seed in seeds):
            raise InputError(f"A seed must be 0 or more, not {min(seeds)}.")
        self.seeds, self.layout, self.smooth = tuple(seeds), layout, smooth

    def __call__(self, first: int, frames: int) -> Tensor:
        """Return the noise (B, T, M) of T = ``frames`` from ``first`` on, of unit variance."""
        # The smoothing looks back, also at the first frame, so blocks are counted from one before the first frame.
        begin = first - self.smooth + BLOCK * (-(-self.smooth // BLOCK))
        end = begin + self.smooth + frames
        numbers = range(begin // BLOCK, -(-end // BLOCK))
        rows = [torch.cat([self._block(seed, number) for number in numbers]) for seed in self.seeds]
        start = begin - numbers.start * BLOCK
        white = torch.stack(rows)[:, start : start + self.smooth + frames]  # (B, K + T, M)
        return smooth_head(white, self.layout, self.smooth)

    def _block(self, seed: int, number: int) -> Tensor:
        """Return the white noise (BLOCK, M) of a block of frames."""
        shape = (BLOCK, self.layout.all_columns)
        drawn = np.random.default_rng([seed, number]).standard_normal(shape, dtype=np.float32)
        return self.layout.of_all(torch.from_numpy(drawn))


def smooth_head(white: Tensor, layout: MotionLayout, smooth: int) -> Tensor:
    """Smooth the head's columns of white noise with a Hann window over each frame and the K frames before it.

    Heads move slowly. Noise that does, too, leaves less for the flow to remove, and what it does not remove is motion
    and not jitter.

    Args:
        white: (B, K + T, M) of unit variance.
        layout: The columns.
        smooth: K; 0 returns the noise as it is.

    Returns:
        (B, T, M) of unit variance in every frame.
    """
    if smooth == 0:
        return white
    noise = white[:, smooth:].clone()
    if "head" in layout:
        columns, frames = layout.slice("head"), noise.shape[1]
        taps = torch.hann_window(smooth + 3, periodic=False, device=white.device, dtype=white.dtype)[1:-1]  # (K + 1,)
        head, taps = white[..., columns], taps / taps.norm()
        # Summed in one order, so that a frame's noise is the same to the last bit in windows of any length.
        total = torch.zeros_like(noise[..., columns])
        for place, tap in enumerate(taps):
            total = total + tap * head[:, place : place + frames]
        noise[..., columns] = total
    return noise
