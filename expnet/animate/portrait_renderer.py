"""Opens portraits as the controls ask, and renders frames of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.apply_controls import Motion
from expnet.animate.controls.background import change_background, read_background
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.framing import frame_portrait
from expnet.animate.controls.gaze import redirect_gaze
from expnet.animate.inputs import ImageInput
from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import FaceTracker
from expnet.media.image_reader import LARGEST_SIDE
from expnet.media.transparent_video import cut_out
from expnet.render.face_vid2vid.face_crop import face_crop
from expnet.render.open_renderer import OpenedRenderer
from expnet.render.portrait import Portrait, open_portrait
from expnet.render.renderer import Renderer


class PortraitRenderer:
    """Renders portraits with one face model and one renderer.

    Args:
        face_model: Face model of the coefficients.
        renderer: The renderer, see `expnet.render.open_renderer.open_renderer`.
        max_side: Larger portraits are scaled down to this many pixels.
        tracker: Face tracker; None for the built-in models.
    """

    def __init__(
        self,
        face_model: MorphableModel,
        renderer: OpenedRenderer,
        *,
        max_side: int = LARGEST_SIDE,
        tracker: FaceTracker | None = None,
    ) -> None:
        self.face_model = face_model
        self._opened = renderer
        self._max_side = max_side
        self._tracker = tracker

    def replaced(self, renderer: OpenedRenderer) -> PortraitRenderer:
        """Return the same with another renderer."""
        return PortraitRenderer(self.face_model, renderer, max_side=self._max_side, tracker=self._tracker)

    def open(self, image: ImageInput, controls: Controls) -> Portrait:
        """Load, track and fit a portrait with the framing, gaze and background of the controls.

        Raises:
            InputError: The image or the background cannot be used.
        """
        read_background(controls.background)  # refused before the portrait is tracked
        cropped = self._opened.square is not None and controls.view == "crop"
        portrait = frame_portrait(
            image,
            self.face_model,
            view="full" if cropped else controls.view,
            size=controls.size,
            max_side=self._max_side,
            tracker=self._tracker,
        )
        if cropped:
            portrait = self._cut_to_face(portrait)
        if controls.gaze is not None:
            portrait = redirect_gaze(portrait, *controls.gaze)
        portrait = change_background(portrait, controls.background)
        if self._opened.prepare is None:
            return portrait
        return self._opened.prepare(portrait, self.face_model, self._tracker)

    def renderer(self, portrait: Portrait) -> Renderer:
        """Return the renderer of one portrait.

        Raises:
            InputError: The portrait's face is too small for it.
        """
        return self._opened.make(portrait, self.face_model)

    def check_transparency(self) -> None:
        """Refuse videos without background where the renderer cannot make them.

        Raises:
            InputError: It cannot.
        """
        if self._opened.make_pair is None:
            raise InputError(
                f"the renderer {self._opened.name} draws no video without background: write an .mp4, or use the mesh "
                "renderer."
            )

    def render(
        self, portrait: Portrait, coefficients: FaceCoefficients, *, blink: NDArray | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield frames (H, W, 3) uint8 RGB of a portrait driven by coefficients in its own camera."""
        return self.renderer(portrait).render(coefficients, blink=blink)

    def render_without_background(self, portrait: Portrait, motion: Motion) -> Iterator[NDArray[np.uint8]]:
        """Yield frames (H, W, 4) uint8 RGBA of the person alone.

        The opacity of a pixel follows from the same frame rendered on a black and on a white background.

        Raises:
            InputError: The renderer cannot, see :meth:`check_transparency`.
        """
        self.check_transparency()
        assert self._opened.make_pair is not None
        black, white = (change_background(portrait, colour) for colour in ("black", "white"))
        pair = self._opened.make_pair(black, white, self.face_model)
        on_black, on_white = (one.render(motion.coefficients, blink=motion.blink) for one in pair)
        return cut_out(on_black, on_white)

    def _cut_to_face(self, portrait: Portrait) -> Portrait:
        """Return the square around the face as a portrait of the networks' size, which they draw whole."""
        assert self._opened.square is not None
        square = face_crop(portrait.landmarks).cut(portrait.image, self._opened.square)
        return open_portrait(square, self.face_model, max_side=None, tracker=self._tracker)
