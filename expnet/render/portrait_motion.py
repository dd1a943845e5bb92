"""Motion of the portrait's tracked points: coefficients -> displacements in face space -> pixels.

The tracked points are lifted into face space once. Each frame moves them by the *difference* of the fitted expressions
and then by its pose, which preserves the details of a person that the linear model cannot express:

    point_t = R_t (point_0 + basis (beta_t - beta_0) + corrections) + translation_t

The corrections guarantee what a linear model cannot: the portrait's lips meet when the model closes them, and a blink
closes the lids completely.
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
from expnet.render.lips import GapScale, LipContact

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Camera of one frame as an affine map: pixel = offset + scale * flip(R v).

    Attributes:
        rotation: (3, 3) rotation matrix.
        offset: (2,) pixel of the origin of face space.
        scale: Pixels per face unit.
    """

    rotation: Array
    offset: Array
    scale: float

    def project(self, vertices: Array) -> Array:
        """Project points (N, 3) in face space to (N, 3): pixel x, pixel y and depth in pixels (larger is nearer)."""
        camera = vertices @ self.rotation.T * self.scale
        camera[:, 0] += self.offset[0]
        camera[:, 1] = self.offset[1] - camera[:, 1]
        return camera

    def lift(self, pixels: Array, depth: Array) -> Array:
        """Lift pixels (N, 2) at a camera depth (N,) in face units to face space (N, 3)."""
        camera = np.empty((len(pixels), 3))
        camera[:, 0] = (pixels[:, 0] - self.offset[0]) / self.scale
        camera[:, 1] = (self.offset[1] - pixels[:, 1]) / self.scale
        camera[:, 2] = depth
        return camera @ self.rotation


def poses(rotation: NDArray, translation: NDArray, crop: NDArray) -> list[Pose]:
    """Cameras of T frames in one crop; `expnet.face.camera` has the formula."""
    matrices = euler_to_matrix(torch.from_numpy(np.asarray(rotation, np.float64))).numpy()
    translation, crop = np.asarray(translation, np.float64), np.asarray(crop, np.float64)
    scales = crop[2] * FOCAL / (DISTANCE - translation[:, 2])
    offsets = crop[:2] + scales[:, None] * translation[:, :2] * [1.0, -1.0]
    return [Pose(m, o, float(s)) for m, o, s in zip(matrices, offsets, scales, strict=True)]


STEEPEST = 2.0
"""Steepest slope of the face, depth per distance in the image plane; steeper sides are flattened."""


def limit_slope(positions: Array, depth: Array, steepest: float = STEEPEST) -> Array:
    """Raise points of a surface until its slope is nowhere steeper than allowed.

    The sides of a face are seen at a grazing angle: a centimetre of cheek covers two pixels, and a turn of the head
    would stretch them into a streak. The upper Lipschitz envelope of the surface limits that stretch to
    ``cos + steepest * sin`` of the angle and leaves well-visible parts unchanged.

    Args:
        positions: (V, 2) points in the image plane.
        depth: (V,) depth toward the viewer, in the same unit.
        steepest: Largest depth per distance.

    Returns:
        (V,) ``max_u depth_u - steepest |position_u - position_v|``, which is at least ``depth``.
    """
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    return (depth[None] - steepest * distance).max(axis=1)


class PortraitMotion:
    """Moves the tracked points of one portrait.

    Args:
        points: (478, 3) tracked points in pixels of the rendered portrait.
        fit: The portrait's coefficients, one frame, with identity and with the crop in the same pixels.
        model: The face model of the coefficients.
        lips: Correction of the gap between the lips, or None.

    Attributes:
        vertices: (468, 3) the portrait's points in face space.
        camera: Pose of the portrait.
        first_displacement: (468, 3) displacement of the neutral face by the portrait's own expression.
        lips: Keeps the lips in contact where the model's are.
    """

    def __init__(
        self, points: NDArray, fit: FaceCoefficients, model: MorphableModel, lips: GapScale | None = None
    ) -> None:
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
        limited = limit_slope(pixels / self.camera.scale, depth)
        self.vertices = self.camera.lift(pixels, limited)
        self._sunken = (limited - depth)[:, None] * self.camera.rotation[2]
        self.lips = LipContact(self.vertices, fitted, lips)
        self._lids = LidMotion(fitted)

    def _displace(self, expression: Array) -> Array:
        """Displacements (T, 468, 3) of expression coefficients (T, E)."""
        return (expression @ self._basis).reshape(len(expression), -1, 3)

    def recede(self, camera: Pose) -> Array:
        """Displacements (468, 3) that undo the flattening of the side that a turn takes out of sight.

        `limit_slope` bounds the stretch of the side that comes into view. The other side is compressed, which no
        texture suffers from, and a flattened one would stand beside the face like a fin. The true depth moves a point
        by ``d`` in the image, and is used in the proportion in which ``d`` points to the middle of the face.

        Args:
            camera: Pose of the frame.
        """
        places = self.vertices @ camera.rotation[:2].T
        outward = places - places.mean(axis=0)
        shift = -self._sunken @ camera.rotation[:2].T
        length = np.linalg.norm(outward, axis=1) * np.linalg.norm(shift, axis=1)
        share = np.clip(-(outward * shift).sum(axis=1) / np.maximum(length, 1e-12), 0.0, 1.0)
        return -share[:, None] * self._sunken

    def displacements(self, expression: NDArray, blink: NDArray | None = None) -> tuple[Array, Array]:
        """Displacements of the points from the portrait's expression to other expressions.

        Args:
            expression: (T, E) absolute coefficients.
            blink: (T,) closure of the lids in addition to the expression, from 0 (none) to 1 (shut).

        Returns:
            Displacements (T, 468, 3) in face space without the closing of the lids, and that closure (T, 2) of the
            right and left eye. Both are exactly zero for the portrait's own expression.
        """
        moved = self._displace(np.asarray(expression, np.float64) - self.first_expression)
        self.lips.correct(moved)
        return moved, self._lids.closure(moved, blink)
