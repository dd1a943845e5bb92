"""The interface of every renderer: coefficients in, frames out."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from expnet.coefficients import FaceCoefficients


class Renderer(Protocol):
    """Renders one portrait with other expressions and poses."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames in pixels."""
        ...

    def render(self, coefficients: FaceCoefficients, *, blink: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Yield one (H, W, 3) uint8 RGB frame for each frame of the coefficients.

        Args:
            coefficients: Expression and pose in the portrait's own camera, so that its fit reproduces the portrait.
            blink: (T,) additional closure of the lids, from 0 (none) to 1 (shut).
        """
        ...
