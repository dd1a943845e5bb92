"""Head pose and expression as they move keypoints: ``keypoints = R(pose) canonical + (0, y, 0) + expression``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from expnet.face.rotation import euler_to_matrix

BINS = 66
"""Classes of each angle, three degrees wide, from -99 degrees on."""
_HALF_TURN = 3.14
"""Radians of 180 degrees in the published code, with which the networks were trained (make_animation.py)."""

PUBLISHED_AXES = (0.0, 1.0, 0.0)
"""The published networks drop the translation's x and z."""


class HeadMotion(NamedTuple):
    """Pose and expression of a face, as the mapping network and the pose estimator return them.

    Attributes:
        yaw: (B, 66) scores of the classes of the angle.
        pitch: (B, 66).
        roll: (B, 66).
        translation: (B, 3), of which only y moves keypoints.
        expression: (B, 3 K) shifts of the keypoints.
    """

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    translation: Tensor
    expression: Tensor


class HeadMotionHeads(nn.Module):
    """The linear layers from features (B, N) to a `HeadMotion`.

    Args:
        features: Number of features N.
        keypoints: Number of keypoints K.
    """

    def __init__(self, features: int, keypoints: int) -> None:
        super().__init__()
        self.fc_roll = nn.Linear(features, BINS)
        self.fc_pitch = nn.Linear(features, BINS)
        self.fc_yaw = nn.Linear(features, BINS)
        self.fc_t = nn.Linear(features, 3)
        self.fc_exp = nn.Linear(features, 3 * keypoints)

    def heads(self, features: Tensor) -> HeadMotion:
        """Return the motion of features (B, N)."""
        layers = (self.fc_yaw, self.fc_pitch, self.fc_roll, self.fc_t, self.fc_exp)
        return HeadMotion(*(layer(features) for layer in layers))


def expected_degrees(scores: Tensor) -> Tensor:
    """Return the expected angle (B,) in degrees of scores (B, 66): ``3 sum_i i softmax(scores)_i - 99``."""
    classes = torch.arange(BINS, dtype=scores.dtype, device=scores.device)
    return scores.softmax(dim=1) @ classes * 3 - 99


def move_keypoints(
    canonical: Tensor, motion: HeadMotion, *, axes: tuple[float, float, float] = PUBLISHED_AXES
) -> Tensor:
    """Move canonical keypoints (B, K, 3) by a motion; returns (B, K, 3).

    The rotation is ``Rx(pitch) Ry(yaw) Rz(roll)`` on column vectors, in the axes of `volume_grid`. Source:
    OpenTalker/SadTalker ``src/facerender/modules/make_animation.py``.

    Args:
        canonical: Keypoints of the identity.
        motion: Pose and expression.
        axes: How much of the translation along x, y and z is applied; the published networks use y alone.
    """
    angles = [expected_degrees(scores) / 180 * _HALF_TURN for scores in (motion.pitch, motion.yaw, motion.roll)]
    rotation = _about(0, angles[0]) @ _about(1, angles[1]) @ _about(2, angles[2])  # (B, 3, 3)
    shift = motion.translation * motion.translation.new_tensor(axes)
    return canonical @ rotation.mT + shift[:, None] + motion.expression.unflatten(1, (-1, 3))


def angles_in_volume(rotation: Tensor) -> Tensor:
    """Return the angles (B, 3) in degrees, pitch, yaw and roll of `move_keypoints`, of head rotations (B, 3).

    Args:
        rotation: Pitch, yaw and roll in radians of `expnet.face.rotation`, whose y points up and whose z points to the
            viewer; in a feature volume both point the other way.
    """
    flip = rotation.new_tensor([1.0, -1.0, -1.0])
    matrix = flip[:, None] * euler_to_matrix(rotation) * flip  # (B, 3, 3)
    yaw = matrix[:, 0, 2].clamp(-1.0, 1.0).asin()
    roll = torch.atan2(-matrix[:, 0, 1], matrix[:, 0, 0])
    pitch = torch.atan2(-matrix[:, 1, 2], matrix[:, 2, 2])
    return torch.stack([pitch, yaw, roll], dim=1).rad2deg()


def _about(axis: int, angle: Tensor) -> Tensor:
    """Return rotations (B, 3, 3) about an axis by angles (B,)."""
    generator = torch.zeros(3, 3, dtype=angle.dtype, device=angle.device)
    after, last = (axis + 1) % 3, (axis + 2) % 3
    generator[last, after], generator[after, last] = 1.0, -1.0
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    return torch.eye(3).to(angle) + sine * generator + (1 - cosine) * (generator @ generator)
