"""A renderer: a portrait that becomes brighter with the first expression coefficient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.face.morphable import MorphableModel
from expnet.render.portrait import Portrait
from expnet.render.renderer import MotionPart


class Brightness:
    """Draws each frame from its own coefficients.

    Args:
        portrait: The portrait.
        model: Face model of the motions.
    """

    lookahead = 0

    def __init__(self, portrait: Portrait, model: MorphableModel) -> None:
        self.image, self.size = portrait.image, portrait.image.shape[:2]

    def render(self, coefficients: FaceCoefficients, *, blink: NDArray | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield one (H, W, 3) frame for each frame of the coefficients."""
        for row in coefficients.expression:
            yield np.clip(self.image + 10 * row[0], 0, 255).astype(np.uint8)

    def render_parts(self, parts: Iterable[MotionPart]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a motion that arrives in parts."""
        for part in parts:
            yield from self.render(part.coefficients, blink=part.blink)
