"""How a head goes on moving when nothing new is drawn, and how far it may turn: plain functions of poses."""

from __future__ import annotations

import torch
from torch import Tensor

POSE = 6
"""Pitch, yaw and roll in radians, then the translation in face units."""
ROTATION_LIMIT = 0.4
"""Radians from frontal up to which a portrait can be rendered from one image."""
LEAST_ROOM = 0.03
"""Radians that a portrait which is turned almost that far, or further, may turn on: within them heads slow down."""
MOMENTUM = 0.8
"""Share of its velocity that the continuation of a head keeps from frame to frame."""
RECALL = 0.97
"""Share of its excess over `FAR` that the continuation keeps from frame to frame: a pull back within about a second."""
FAR = 2.5
"""Times its usual distance beyond which a head is pulled back."""
FAR_WHEN_DRAWN = 1.0
"""The same while heads are drawn: training stretches last five seconds and hardly show a head that is far out, so that
the decoder lets it go further in the course of minutes; real heads stay around once their usual distance."""


def continuation(past: Tensor, seen: Tensor, reach: Tensor, frames: int, *, far: float = FAR) -> Tensor:
    """Continue a motion with fading velocity, pulled back where it is far out.

    Args:
        past: (N, P, 6) relative to the first frame.
        seen: (N, P) bool, which of these poses exist; without the last three there is no velocity.
        reach: (N, 6) usual distance from the first frame, in the unit of ``past``.
        frames: W.
        far: times ``reach`` beyond which the head is pulled back.

    Returns:
        (N, W, 6).
    """
    length = past.shape[1]
    last = past[:, -1]
    known = (seen[:, -1] & seen[:, -3])[:, None] if length >= 3 else seen.new_zeros(len(seen), 1)
    velocity = (last - past[:, max(-3, -length)]) / 2 * known
    time = torch.arange(1, frames + 1, device=past.device, dtype=past.dtype)[:, None]
    travelled = MOMENTUM * (1 - MOMENTUM**time) / (1 - MOMENTUM)  # (W, 1): the sum of MOMENTUM^k, k = 1 ... t
    limit = far * reach
    excess = last - torch.maximum(torch.minimum(last, limit), -limit)
    return last[:, None] + velocity[:, None] * travelled - excess[:, None] * (1 - RECALL**time)


def within_reach(pose: Tensor, first_pose: Tensor, pose_std: Tensor) -> Tensor:
    """Bend poses smoothly back into the range that can be rendered; small ones are left as they are.

    Args:
        pose: (B, T, 6) relative to the first frame, radians and face units.
        first_pose: (B, 6) absolute.
        pose_std: (6,) deviation of real poses from their first; translations stay within three of them.

    Returns:
        (B, T, 6). Absolute rotations stay within `ROTATION_LIMIT`, or the first pose's own and `LEAST_ROOM`, if larger.
    """
    first = first_pose[:, None]  # (B, 1, 6)
    knee = torch.cat(
        [first[..., :3].abs().clamp_min(0.75 * ROTATION_LIMIT), 2 * pose_std[3:].expand_as(first[..., 3:])], -1
    )
    room = torch.cat([(ROTATION_LIMIT - knee[..., :3]).clamp_min(LEAST_ROOM), knee[..., 3:] / 2], -1)
    base = torch.cat([first[..., :3], torch.zeros_like(first[..., 3:])], -1)
    absolute = base + pose
    beyond = (absolute.abs() - knee).clamp_min(0)
    bent = absolute.sign() * (torch.minimum(absolute.abs(), knee) + room * torch.tanh(beyond / room))
    return bent - base
