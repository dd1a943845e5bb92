"""What a renderer must do: coefficients in, frames out.

`expnet.render.mesh_renderer.MeshRenderer` warps the portrait and needs no weights;
`expnet.render.face_vid2vid.renderer.SadTalkerRenderer` runs SadTalker's published networks.
`expnet.render.open_renderer.open_renderer` opens one by name; everything that shows frames (`expnet.animate`, the page,
the pictures of an evaluation, the metrics of a training) takes what it returns. A renderer of one's own is a class with
these four members, whose constructor takes a `expnet.render.portrait.Portrait` and the face model of the motions::

    class Brightness:
        lookahead = 0

        def __init__(self, portrait, model):
            self.image, self.size = portrait.image, portrait.image.shape[:2]

        def render(self, coefficients, *, blink=None):
            for row in coefficients.expression:
                yield np.clip(self.image + 10 * row[0], 0, 255).astype(np.uint8)

        def render_parts(self, parts):
            for part in parts:
                yield from self.render(part.coefficients, blink=part.blink)

    Animator(renderer=Brightness).animate("portrait.jpg", "speech.wav", "talking.mp4")
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients


class MotionPart(Protocol):
    """Some consecutive frames of a motion.

    Attributes:
        coefficients: Expression and pose of T frames in the portrait's own camera.
        blink: (T,) additional closure of the lids, from 0 (none) to 1 (shut).
    """

    @property
    def coefficients(self) -> FaceCoefficients:
        """Expression and pose of T frames."""
        ...

    @property
    def blink(self) -> NDArray[np.float32]:
        """(T,) closure of the lids."""
        ...


class Renderer(Protocol):
    """Renders one portrait with other expressions and poses."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames in pixels."""
        ...

    @property
    def lookahead(self) -> int:
        """Frames at 25 frames/s of the motion after a frame that it is drawn from; 0 if each frame stands alone."""
        ...

    def render(self, coefficients: FaceCoefficients, *, blink: NDArray | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield one (H, W, 3) uint8 RGB frame for each frame of the coefficients.

        Args:
            coefficients: Expression and pose in the portrait's own camera, so that its fit reproduces the portrait.
            blink: (T,) additional closure of the lids, from 0 (none) to 1 (shut).
        """
        ...

    def render_parts(self, parts: Iterable[MotionPart]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a motion that arrives in parts, each as soon as the renderer has seen enough of it.

        The frames are those of :meth:`render` for the whole motion, however it is cut into parts. A renderer that looks
        ahead returns frames some parts later.
        """
        ...
