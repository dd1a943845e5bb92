"""Face alignment for recognition networks: a similarity transform moves five landmarks to their trained positions."""

import torch
import torch.nn.functional as F
from torch import Tensor

FACE_SIDE = 112
ARCFACE_POINTS = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Eyes, nose tip and mouth corners in a 112-pixel face, x and y; of each pair, the point at the image's left first.

https://github.com/deepinsight/insightface (``norm_crop``, issue 1162)
"""


def five_points(landmarks: Tensor) -> Tensor:
    """Return eye centres, nose tip and mouth corners of iBUG landmarks, (..., 68, D >= 2) -> (..., 5, 2)."""
    if landmarks.ndim < 2 or landmarks.shape[-2] != 68 or landmarks.shape[-1] < 2:
        raise ValueError(f"landmarks must be (..., 68, D >= 2), got {tuple(landmarks.shape)}")
    points = landmarks[..., :2]
    eyes = [points[..., first : first + 6, :].mean(-2) for first in (36, 42)]
    return torch.stack([*eyes, points[..., 30, :], points[..., 48, :], points[..., 54, :]], -2)


def similarity_transform(source: Tensor, target: Tensor) -> Tensor:
    r"""Return the rotation, scale and shift that map points to others with the least squared error.

    With centred points as complex numbers p and q, rotation and scale are :math:`a = \sum \bar p q / \sum |p|^2`, which
    is Umeyama's solution without reflection.

    Args:
        source: Points to map, (..., P, 2).
        target: Where they should lie, (..., P, 2).

    Returns:
        (..., 2, 3) float64, [linear | shift] with target ≈ linear @ source + shift. Not finite if all source points
        coincide or one of them is not finite.
    """
    source, target = source.double(), target.double()
    source_mean, target_mean = source.mean(-2), target.mean(-2)
    p = torch.view_as_complex((source - source_mean.unsqueeze(-2)).contiguous())
    q = torch.view_as_complex((target - target_mean.unsqueeze(-2)).contiguous())
    factor = (p.conj() * q).sum(-1) / p.abs().square().sum(-1)
    rows = torch.stack([factor.real, -factor.imag, factor.imag, factor.real], -1)
    linear = rows.unflatten(-1, (2, 2))
    shift = target_mean - (linear @ source_mean.unsqueeze(-1)).squeeze(-1)
    return torch.cat([linear, shift.unsqueeze(-1)], -1)


def align_faces(frames: Tensor, landmarks: Tensor, *, side: int = FACE_SIDE) -> Tensor:
    """Crop aligned faces from frames as insightface's ``norm_crop`` does: bilinear, black outside the frame.

    Args:
        frames: (N, 3, H, W) uint8 or floating point.
        landmarks: (N, 68, D >= 2) in pixels of the frames, with pixel centres at integers.
        side: Side of the crops in pixels.

    Returns:
        (N, 3, side, side) float32 in the range of the frames.
    """
    template = torch.tensor(ARCFACE_POINTS, dtype=torch.float64, device=frames.device) * (side / FACE_SIDE)
    points = five_points(landmarks.to(frames.device))
    face_to_frame = _inverse(similarity_transform(points, template.expand_as(points)))  # (N, 2, 3)
    axis = torch.arange(side, dtype=torch.float64, device=frames.device)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([columns, rows, torch.ones_like(rows)], -1)  # (side, side, 3)
    pixels = torch.einsum("nij,yxj->nyxi", face_to_frame, grid)  # (N, side, side, 2)
    last = torch.tensor([frames.shape[-1] - 1, frames.shape[-2] - 1], dtype=torch.float64, device=frames.device)
    normalised = (2 * pixels / last - 1).float()
    return F.grid_sample(frames.float(), normalised, mode="bilinear", padding_mode="zeros", align_corners=True)


def _inverse(transform: Tensor) -> Tensor:
    """Return the inverse of a similarity transform, (..., 2, 3)."""
    linear, shift = transform[..., :2], transform[..., 2:]
    inverse = linear.mT / linear[..., :1].square().sum(-2, keepdim=True)  # exact for a rotation and a scale
    return torch.cat([inverse, -inverse @ shift], -1)


def resize_faces(frames: Tensor, *, side: int = FACE_SIDE) -> Tensor:
    """Resize whole frames, bilinear without antialiasing: (N, 3, H, W) -> (N, 3, side, side) float32."""
    return F.interpolate(frames.float(), (side, side), mode="bilinear", align_corners=False)
