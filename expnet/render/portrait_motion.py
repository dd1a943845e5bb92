"""Where each tracked point of the portrait goes: coefficients -> displaced points in face space -> pixels.

The portrait's own tracked points are lifted into face space once. A frame moves them by the *difference* of the
fitted expressions and then by the frame's pose, so what the linear model cannot express about a person stays:

    point_t = R_t (point_0 + basis (beta_t - beta_0) + corrections) + translation_t

The corrections keep promises that a linear model cannot: lips that the model closes do meet on this portrait, and a
blink closes the lids entirely.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.camera import DISTANCE, FOCAL
from expnet.face.landmarks import MESH_POINTS
from expnet.face.morphable import MorphableModel
from expnet.face.rotation import euler_to_matrix
from expnet.render.lids import LidMotion
from expnet.render.lips import LipContact

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """A frame's camera as an affine map: pixel = offset + scale * flip(R v).

    Attributes:
        rotation: (3, 3).
        offset: (2,) pixel of the face-space origin.
        scale: pixels per face unit.
    """

    rotation: Array
    offset: Array
    scale: float

    def project(self, vertices: Array) -> Array:
        """Face space (N, 3) to (N, 3): pixel x, pixel y, depth in pixels (larger is nearer)."""
        camera = vertices @ self.rotation.T * self.scale
        camera[:, 0] += self.offset[0]
        camera[:, 1] = self.offset[1] - camera[:, 1]
        return camera

    def lift(self, pixels: Array, depth: Array) -> Array:
        """Pixels (N, 2) at a camera depth (N,) in face units, back to face space (N, 3)."""
        camera = np.empty((len(pixels), 3))
        camera[:, 0] = (pixels[:, 0] - self.offset[0]) / self.scale
        camera[:, 1] = (self.offset[1] - pixels[:, 1]) / self.scale
        camera[:, 2] = depth
        return camera @ self.rotation


def poses(rotation: NDArray, translation: NDArray, crop: NDArray) -> list[Pose]:
    """Cameras of T frames in one crop; see :mod:`expnet.face.camera` for the formula."""
    matrices = euler_to_matrix(torch.from_numpy(np.asarray(rotation, np.float64))).numpy()
    translation, crop = np.asarray(translation, np.float64), np.asarray(crop, np.float64)
    scales = crop[2] * FOCAL / (DISTANCE - translation[:, 2])
    offsets = crop[:2] + scales[:, None] * translation[:, :2] * [1.0, -1.0]
    return [Pose(m, o, float(s)) for m, o, s in zip(matrices, offsets, scales, strict=True)]


STEEPEST = 2.0
"""Depth per distance beyond which the sides of the face are drawn flatter than they are."""


def limit_slope(positions: Array, depth: Array, steepest: float = STEEPEST) -> Array:
    """Raise points of a surface until it falls away nowhere more steeply than allowed.

    The sides of a face are seen at a grazing angle: a finger's breadth of cheek is two pixels wide, and a turn of the
    head would draw these out to a streak. The upper Lipschitz envelope of the surface bounds that stretch to
    ``cos + steepest * sin`` of the turn, and leaves what is seen well as it is.

    Args:
        positions: (V, 2) in the image plane.
        depth: (V,) toward the viewer, same unit.
        steepest: depth per distance.

    Returns:
        (V,) at least ``depth``: ``max_u depth_u - steepest |position_u - position_v|``.
    """
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    return (depth[None] - steepest * distance).max(axis=1)


class PortraitMotion:
    """Moves the tracked points of one portrait.

    Args:
        points: (478, 3) tracked points in pixels of the rendered portrait.
        fit: the portrait's coefficients, one frame, with identity and crop in the same pixels.
        model: the face model that gave the coefficients.

    Attributes:
        vertices: (468, 3) the portrait's points in face space.
        camera: the portrait's own pose.
        first_displacement: (468, 3) what the portrait's own expression does to the neutral face.
    """

    def __init__(self, points: NDArray, fit: FaceCoefficients, model: MorphableModel) -> None:
        if model.mean.shape[0] != MESH_POINTS:
            raise InputError(
                f"the mesh renderer needs the face model on the {MESH_POINTS} points of the tracker, got one with "
                f"{model.mean.shape[0]} vertices; use the built-in face model."
            )
        if fit.identity is None or fit.crop is None:
            raise InputError("the portrait's coefficients lack identity or crop; make them with fit_clip.")
        self.first_expression = fit.expression[0].astype(np.float64)
        basis = model.expression_basis.double().numpy()
        self._basis = basis.transpose(2, 0, 1).reshape(basis.shape[2], -1)  # (E, 468 * 3)
        identity = torch.as_tensor(np.atleast_2d(fit.identity)[0], dtype=torch.float64)
        neutral = (model.mean.double() + model.identity_basis.double() @ identity).numpy()
        self.first_displacement = self._displace(self.first_expression[None])[0]
        fitted = neutral + self.first_displacement
        self.camera = poses(fit.rotation[:1], fit.translation[:1], np.atleast_2d(fit.crop)[0])[0]
        depth = fitted @ self.camera.rotation[2]
        self.crop = np.atleast_2d(fit.crop)[0]
        pixels = np.asarray(points[:MESH_POINTS, :2], np.float64)
        self.vertices = self.camera.lift(pixels, limit_slope(pixels / self.camera.scale, depth))
        self._lips = LipContact(self.vertices, fitted)
        self._lids = LidMotion(fitted)

    def _displace(self, expression: Array) -> Array:
        """Expression coefficients (T, E) to displacements (T, 468, 3)."""
        return (expression @ self._basis).reshape(len(expression), -1, 3)

    def displacements(self, expression: NDArray, blink: NDArray | None = None) -> tuple[Array, Array]:
        """Move the points from the portrait's expression to other ones.

        Args:
            expression: (T, E) absolute coefficients.
            blink: (T,) closure of the lids on top of the expression, 0 none to 1 shut.

        Returns:
            (T, 468, 3) displacements in face space, without the closing of the lids, and (T, 2) that closure, right
            eye and left. Both are exactly zero for the portrait's own expression.
        """
        moved = self._displace(np.asarray(expression, np.float64) - self.first_expression)
        self._lips.correct(moved)
        return moved, self._lids.closure(moved, blink)
