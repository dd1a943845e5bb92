"""Euler angles and rotation matrices in expnet's convention.

Face space: x to the image's right, y up, z toward the viewer. The angles are (pitch, yaw, roll) in radians and

    R = Rz(roll) @ Ry(yaw) @ Rx(pitch),     v_camera = R @ v     (column vectors)

so a positive pitch nods the head down, a positive yaw turns it to the image's right, and a positive roll tilts
the top of the head to the image's left (counter-clockwise in the image). This is the order of Deep3DFaceRecon, which
uses the transpose for row vectors (face3d/models/bfm.py, ``compute_rotation``).
"""

import torch
from torch import Tensor

# The argument of asin is clamped here: beyond, yaw is +-90 degrees to single precision, and roll and pitch degenerate.
_GIMBAL = 1.0 - 1e-7


def euler_to_matrix(angles: Tensor) -> Tensor:
    """Convert (pitch, yaw, roll) to rotation matrices.

    Args:
        angles: Radians, shape (..., 3).

    Returns:
        Rotation matrices for column vectors, shape (..., 3, 3).
    """
    sine, cosine = torch.sin(angles), torch.cos(angles)
    sin_x, sin_y, sin_z = sine.unbind(-1)
    cos_x, cos_y, cos_z = cosine.unbind(-1)
    rows = [
        cos_z * cos_y,
        cos_z * sin_y * sin_x - sin_z * cos_x,
        cos_z * sin_y * cos_x + sin_z * sin_x,
        sin_z * cos_y,
        sin_z * sin_y * sin_x + cos_z * cos_x,
        sin_z * sin_y * cos_x - cos_z * sin_x,
        -sin_y,
        cos_y * sin_x,
        cos_y * cos_x,
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))  # (..., 3, 3)


def matrix_to_euler(matrix: Tensor) -> Tensor:
    """Convert rotation matrices to (pitch, yaw, roll); the inverse of :func:`euler_to_matrix` for |yaw| < 90 degrees.

    Args:
        matrix: Rotation matrices for column vectors, shape (..., 3, 3).

    Returns:
        Radians, shape (..., 3); yaw in [-pi/2, pi/2], pitch and roll in (-pi, pi].
    """
    pitch = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    yaw = torch.asin((-matrix[..., 2, 0]).clamp(-_GIMBAL, _GIMBAL))
    roll = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return torch.stack([pitch, yaw, roll], dim=-1)
