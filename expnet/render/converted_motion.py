"""Moves a portrait's coefficients under one face model as its coefficients under another one move.

    expression_t = expression_0 + M (beta_t - beta_0)          R_t = R'_t R'_0^T R_0
    (10 - z_t) / (10 - z_0) = (10 - z'_t) / (10 - z'_0)        x_t, y_t follow the face's origin in pixels

with the source's coefficients beta, R', z'. Between the built-in model and Basel coefficients, M is fitted on clips
with both (`expnet.face.basel_map`); head poses need no fit. At the portrait's own coefficients nothing changes, so its
first frame is the portrait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.basel_map import basel_expression_change, basel_origin, built_in_expression_change
from expnet.face.camera import DISTANCE, FOCAL
from expnet.face.rotation import euler_to_matrix, matrix_to_euler
from expnet.formats.coefficient_files import BASEL_FACE_MODEL
from expnet.render.renderer import MotionPart, Renderer

Array = NDArray[np.float64]
ExpressionMap = Callable[[NDArray[np.floating]], Array]


class ConvertedMotion:
    """Converts motions of one portrait from a source face model to a target face model.

    Args:
        source: The portrait's coefficients under the model of the motions, one frame, with crop.
        target: The portrait's coefficients under the other model, one frame, with the crop in the same pixels.
        expression: Change of the source's expression (T, 64) -> change of the target's (T, 64).
        origin: (3,) origin of the target's face space in the source's face space.

    Raises:
        InputError: A crop is missing.
    """

    def __init__(
        self, source: FaceCoefficients, target: FaceCoefficients, expression: ExpressionMap, origin: Array
    ) -> None:
        if source.crop is None or target.crop is None:
            raise InputError("the portrait's coefficients lack the crop; make them with fit_clip.")
        self._source, self._target = source[0], target[0]
        self._expression, self._origin = expression, origin
        self._source_crop, self._target_crop = (np.atleast_2d(crop)[0] for crop in (source.crop, target.crop))

    def convert(self, motion: FaceCoefficients, expression: NDArray[np.floating] | None = None) -> FaceCoefficients:
        """Return the target's coefficients for T frames.

        Args:
            motion: A motion in the portrait's own camera.
            expression: Expression (T, 64) to convert instead of the motion's own.
        """
        moved = np.asarray(motion.expression if expression is None else expression, np.float64)
        rotation, translation = self._pose(motion)
        return FaceCoefficients(
            expression=self._target.expression[0] + self._expression(moved - self._source.expression[0]),
            rotation=rotation,
            translation=translation,
            crop=self._target_crop,
            fps=motion.fps,
            face_model=self._target.face_model,
        )

    def _pose(self, moved: FaceCoefficients) -> tuple[Array, Array]:
        """Return rotation (T, 3) and translation (T, 3)."""
        source, target = self._source, self._target
        own, first, portrait = (_matrices(part.rotation) for part in (moved, source, target))
        rotation = own @ first[0].T @ portrait[0]
        nearer = (DISTANCE - moved.translation[:, 2]) / (DISTANCE - source.translation[0, 2])  # (T,)
        start_depth = target.translation[0, 2].astype(np.float64)
        depth = DISTANCE - (DISTANCE - start_depth) * nearer
        shift = self._place(moved, own) - self._place(source, first)  # (T, 2) pixels
        scales = self._target_crop[2] * FOCAL / (DISTANCE - np.stack([start_depth, *depth]))
        start = target.translation[0, :2] * scales[0]
        sideways = (start + shift * [1.0, -1.0]) / scales[1:, None]
        return matrix_to_euler(torch.from_numpy(rotation)).numpy(), np.c_[sideways, depth]

    def _place(self, coefficients: FaceCoefficients, rotation: Array) -> Array:
        """Return where the target's origin lies in the image (T, 2), in pixels relative to the crop's centre."""
        scale = self._source_crop[2] * FOCAL / (DISTANCE - coefficients.translation[:, 2].astype(np.float64))
        place = coefficients.translation[:, :2] + (rotation @ self._origin)[:, :2]
        return place * scale[:, None] * [1.0, -1.0]


def to_basel(own: FaceCoefficients, basel: FaceCoefficients) -> ConvertedMotion:
    """Return the conversion of motions of the built-in model to Basel coefficients.

    Args:
        own: The portrait's coefficients under the built-in model, one frame, with crop.
        basel: Its coefficients under the Basel face model, one frame, with the crop in the same pixels.
    """
    return ConvertedMotion(own, basel, basel_expression_change, basel_origin())


def from_basel(basel: FaceCoefficients, own: FaceCoefficients) -> ConvertedMotion:
    """Return the conversion of Basel motions to the built-in model; arguments as for `to_basel`."""
    # The two spaces are turned against each other, and scaled, as the two descriptions of the portrait are.
    turned = _matrices(basel.rotation)[0].T @ _matrices(own.rotation)[0]
    scaled = _pixels(own)[0] / _pixels(basel)[0]
    return ConvertedMotion(basel, own, built_in_expression_change, -scaled * turned @ basel_origin())


@dataclass(frozen=True)
class _Part:
    """A part of a converted motion."""

    coefficients: FaceCoefficients
    blink: NDArray[np.float32]


class BaselDrivenRenderer:
    """Lets Basel coefficients drive a renderer of the built-in face model.

    Args:
        renderer: Renderer of the portrait under the built-in model.
        basel: The portrait's coefficients under the Basel face model, one frame.
        own: Its coefficients under the built-in model, one frame.
    """

    def __init__(self, renderer: Renderer, basel: FaceCoefficients, own: FaceCoefficients) -> None:
        self._renderer = renderer
        self._motion = from_basel(basel, own)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames in pixels."""
        return self._renderer.size

    @property
    def lookahead(self) -> int:
        """Frames that the renderer looks ahead."""
        return self._renderer.lookahead

    def render(self, coefficients: FaceCoefficients, *, blink: NDArray | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield one (H, W, 3) uint8 RGB frame for each frame of Basel coefficients."""
        return self._renderer.render(self._converted(coefficients), blink=blink)

    def render_parts(self, parts: Iterable[MotionPart]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a motion that arrives in parts."""
        return self._renderer.render_parts(_Part(self._converted(part.coefficients), part.blink) for part in parts)

    def _converted(self, coefficients: FaceCoefficients) -> FaceCoefficients:
        if coefficients.face_model != BASEL_FACE_MODEL:
            raise InputError(
                f"the portrait is described by Basel coefficients, but the motion by {coefficients.face_model}."
            )
        return self._motion.convert(coefficients)


def _pixels(coefficients: FaceCoefficients) -> Array:
    """Return the pixels of a face unit in each frame (T,)."""
    assert coefficients.crop is not None
    return np.atleast_2d(coefficients.crop)[0, 2] * FOCAL / (DISTANCE - coefficients.translation[:, 2].astype(float))


def _matrices(rotation: NDArray) -> Array:
    return euler_to_matrix(torch.from_numpy(np.asarray(rotation, np.float64))).numpy()
