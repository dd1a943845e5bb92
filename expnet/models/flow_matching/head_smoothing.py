"""Takes from a drawn head what trembles from one frame to the next."""

from __future__ import annotations

import torch
from torch import Tensor

TAPS = (0.25, 0.5, 0.25)
"""Weights of the frame before, the frame and the frame after. Heads have mass: at 25 frames/s, what a tracked head
moves above 8 Hz is mostly the tracker's noise, which the network learns with the motion."""


def smooth_frames(columns: Tensor) -> Tensor:
    """Average each frame of columns (B, T, D) with its neighbours; at the ends, with itself."""
    padded = torch.cat([columns[:, :1], columns, columns[:, -1:]], dim=1)  # (B, T + 2, D)
    before, here, after = (padded[:, place : place + columns.shape[1]] for place in range(3))
    return TAPS[0] * before + TAPS[1] * here + TAPS[2] * after
