"""Functions of head poses: the continuation of a motion, and the limits within which a portrait can be rendered."""

from __future__ import annotations

import torch
from torch import Tensor

POSE = 6
"""Pitch, yaw and roll in radians, then the translation in face units."""
ROTATION_LIMIT = 0.4
"""Largest rotation from frontal, in radians, at which a portrait can be rendered from one image."""
LEAST_ROOM = 0.03
"""Least rotation in radians left to a portrait that is turned close to the limit or beyond; heads slow down in it."""
MOMENTUM = 0.8
"""Fraction of its velocity that the continuation of a motion keeps from frame to frame."""
RECALL = 0.97
"""Fraction of its excess over `FAR` that the continuation keeps from frame to frame: it returns in about a second."""
FAR = 2.5
"""Distance, in units of the head's usual distance, beyond which a head is pulled back."""
FAR_WHEN_DRAWN = 1.0
"""The same distance when motion is drawn. Training windows last five seconds and rarely show a head far from its first
pose, so the decoder would drift over minutes; real heads stay at about their usual distance."""


def continuation(past: Tensor, seen: Tensor, reach: Tensor, frames: int, *, far: float = FAR) -> Tensor:
    """Continue a motion with decaying velocity, pulled back if it is far from the first frame.

    Args:
        past: (N, P, 6) poses relative to the first frame.
        seen: (N, P) bool, which of these poses exist; without the last three the velocity is zero.
        reach: (N, 6) usual distance from the first frame, in the unit of ``past``.
        frames: W, number of frames to return.
        far: Distance, in units of ``reach``, beyond which the head is pulled back.

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
    """Compress poses smoothly into the range that can be rendered; small ones stay unchanged.

    Args:
        pose: (B, T, 6) poses relative to the first frame, in radians and face units.
        first_pose: (B, 6) absolute first pose.
        pose_std: (6,) standard deviation of real poses from their first; translations stay within three of them.

    Returns:
        (B, T, 6). Absolute rotations stay within `ROTATION_LIMIT`, or the first pose plus `LEAST_ROOM`, if larger.
    """
    first = first_pose[:, None]  # (B, 1, 6)
    knee = torch.cat(
        [first[..., :3].abs().clamp_min(0.75 * ROTATION_LIMIT), 2 * pose_std[3:].expand_as(first[..., 3:])], -1
    )
    room = torch.cat([(ROTATION_LIMIT - knee[..., :3]).clamp_min(LEAST_ROOM), knee[..., 3:] / 2], -1)
    base = torch.cat([first[..., :3], torch.zeros_like(first[..., 3:])], -1)
    absolute = base + pose
    beyond = (absolute.abs() - knee).clamp_min(0)
    compressed = absolute.sign() * (torch.minimum(absolute.abs(), knee) + room * torch.tanh(beyond / room))
    return compressed - base
