"""Takes from a drawn head, and from a drawn face apart from its lips, what trembles from one frame to the next.

Heads, brows and cheeks move slowly. At 25 frames/s, what a tracked one of them moves above 8 Hz is mostly the tracker's
noise, which the network learns with the motion. Lips are as fast as speech, and are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from expnet.models.flow_matching.motion_flow import MotionFlow

HEAD = 0.25
"""Weight of either neighbour of a frame in the head's motion."""
FACE = 0.1
"""The same in the face's: brows are quicker, and blinks pass through them."""


def smooth_motion(columns: Tensor, network: MotionFlow) -> Tensor:
    """Return whitened motion (B, T, M) with a head and a face that do not tremble; lips and lids are as they were."""
    columns = columns.clone()
    if "head" in network.layout:
        head = network.layout.slice("head")
        columns[..., head] = smooth_frames(columns[..., head], HEAD)
    if "expression" in network.layout:
        face, unit = network.layout.slice("expression"), network.motion_std
        columns[..., face] = smooth_face(columns[..., face] * unit, network.lip_projection) / unit
    return columns


def smooth_frames(values: Tensor, share: float) -> Tensor:
    """Mix each frame of values (B, T, D) with ``share`` of either neighbour; at the ends, with itself."""
    padded = torch.cat([values[:, :1], values, values[:, -1:]], dim=1)  # (B, T + 2, D)
    before, here, after = (padded[:, place : place + values.shape[1]] for place in range(3))
    return share * before + (1 - 2 * share) * here + share * after


def smooth_face(expression: Tensor, lip_projection: Tensor) -> Tensor:
    """Mix each frame of an expression (B, T, E) with its neighbours, but for what moves the lips.

    Args:
        expression: (B, T, E).
        lip_projection: (E, E), see `expnet.face.lip_directions.lip_projection`.
    """
    change = smooth_frames(expression, FACE) - expression
    return expression + change - change @ lip_projection
