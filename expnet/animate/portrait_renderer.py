"""Opens portraits as the controls ask, and renders frames of them."""

from __future__ import annotations

import os
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
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import FaceTracker
from expnet.media.image_reader import LARGEST_SIDE
from expnet.media.transparent_video import cut_out
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import Portrait
from expnet.render.refiner.region_refiner import PairedRefiner, RegionModel, open_refiner


class PortraitRenderer:
    """Renders portraits with one face model and, if given, a refiner.

    Args:
        face_model: Face model of the coefficients.
        refiner: Weights of a refiner of the renderer (run folder, .ckpt or .safetensors), or None.
        max_side: Larger portraits are scaled down to this many pixels.
        tracker: Face tracker; None for the one bundled with mediapipe.

    Raises:
        InputError: The weights do not exist, are damaged, or belong to another task.
    """

    def __init__(
        self,
        face_model: MorphableModel,
        *,
        refiner: str | os.PathLike[str] | None = None,
        max_side: int = LARGEST_SIDE,
        tracker: FaceTracker | None = None,
    ) -> None:
        self.face_model = face_model
        self._refiner = None if refiner is None else open_refiner(refiner)
        self._max_side = max_side
        self._tracker = tracker

    def open(self, image: ImageInput, controls: Controls) -> Portrait:
        """Load, track and fit a portrait with the framing, gaze and background of the controls.

        Raises:
            InputError: The image or the background cannot be used.
        """
        read_background(controls.background)  # refused before the portrait is tracked
        portrait = frame_portrait(
            image,
            self.face_model,
            view=controls.view,
            size=controls.size,
            max_side=self._max_side,
            tracker=self._tracker,
        )
        if controls.gaze is not None:
            portrait = redirect_gaze(portrait, *controls.gaze)
        return change_background(portrait, controls.background)

    def mesh_renderer(self, portrait: Portrait) -> MeshRenderer:
        """Return the renderer of one portrait."""
        return self._mesh_renderer(portrait, self._refiner)

    def render(
        self, portrait: Portrait, coefficients: FaceCoefficients, *, blink: NDArray | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield frames (H, W, 3) uint8 RGB of a portrait driven by coefficients in its own camera."""
        return self.mesh_renderer(portrait).render(coefficients, blink=blink)

    def render_without_background(self, portrait: Portrait, motion: Motion) -> Iterator[NDArray[np.uint8]]:
        """Yield frames (H, W, 4) uint8 RGBA of the person alone.

        The opacity of a pixel follows from the same frame rendered on a black and on a white background.
        """
        refiner = None if self._refiner is None else PairedRefiner(self._refiner)
        on_black, on_white = (
            self._mesh_renderer(change_background(portrait, colour), refiner).render(
                motion.coefficients, blink=motion.blink
            )
            for colour in ("black", "white")
        )
        return cut_out(on_black, on_white)

    def _mesh_renderer(self, portrait: Portrait, refiner: RegionModel | None) -> MeshRenderer:
        return MeshRenderer(
            portrait.image, portrait.fit, portrait.points, self.face_model, matte=portrait.matte, refiner=refiner
        )
