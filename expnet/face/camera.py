"""A scaled orthographic camera in a square crop, which maps face space to pixels of the source frame.

    v_camera = R v + (tx, ty, 0)            s = FOCAL / (DISTANCE - tz)
    pixel_x = centre_x + side * s * x       pixel_y = centre_y - side * s * y

One crop (centre_x, centre_y, side in pixels) serves a whole clip. FOCAL and DISTANCE are those of Deep3DFaceRecon
(focal length 1015 at 224 pixels, camera distance 10; face3d/models/bfm.py), so ``tz`` has the same meaning and range as
there: it is positive for a head that comes nearer.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from expnet.face.rotation import euler_to_matrix

FOCAL = 1015.0 / 224.0
DISTANCE = 10.0


@dataclass(frozen=True)
class Crop:
    """A square of the source frame.

    Attributes:
        centre_x: Pixels from the left edge.
        centre_y: Pixels from the top edge.
        side: Side length of the square in pixels.
    """

    centre_x: float
    centre_y: float
    side: float

    def tensor(self) -> Tensor:
        """Return centre_x, centre_y and side as a float32 tensor (3,)."""
        return torch.tensor([self.centre_x, self.centre_y, self.side], dtype=torch.float32)


def to_camera(vertices: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """Rotate face-space vertices and shift them in the image plane: R v + (tx, ty, 0).

    Args:
        vertices: (..., V, 3) in face units.
        rotation: (..., 3) radians.
        translation: (..., 3) face units.

    Returns:
        (..., V, 3) in face units, z toward the viewer.
    """
    matrix = euler_to_matrix(rotation)  # (..., 3, 3)
    shift = torch.cat([translation[..., :2], torch.zeros_like(translation[..., :1])], dim=-1)
    return vertices @ matrix.transpose(-1, -2) + shift[..., None, :]


def project_depth(vertices: Tensor, rotation: Tensor, translation: Tensor, crop: Crop | Tensor) -> Tensor:
    """Project vertices to pixels and keep the depth.

    Args:
        vertices: (..., V, 3) in face units.
        rotation: (..., 3) radians.
        translation: (..., 3) face units; ``tz`` must stay below DISTANCE.
        crop: A :class:`Crop`, or (..., 3) centre_x, centre_y, side.

    Returns:
        (..., V, 3): pixel x, pixel y, and depth in pixels, which increases toward the viewer.
    """
    crop = crop.tensor().to(vertices) if isinstance(crop, Crop) else crop
    camera = to_camera(vertices, rotation, translation)  # (..., V, 3)
    scale = crop[..., 2:3] * FOCAL / (DISTANCE - translation[..., 2:3])  # (..., 1) pixels per face unit
    pixels = camera * scale[..., None, :]
    sign = pixels.new_tensor([1.0, -1.0, 1.0])
    offset = torch.cat([crop[..., :2], torch.zeros_like(crop[..., :1])], dim=-1)
    return pixels * sign + offset[..., None, :]


def project(vertices: Tensor, rotation: Tensor, translation: Tensor, crop: Crop | Tensor) -> Tensor:
    """Project vertices to pixel positions (..., V, 2); see :func:`project_depth` for the arguments."""
    return project_depth(vertices, rotation, translation, crop)[..., :2]
