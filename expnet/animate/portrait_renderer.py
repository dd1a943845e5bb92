"""Opens portraits as the controls ask, and renders frames of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.apply_controls import Motion
from expnet.animate.controls.background import change_background, read_background
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.framing import frame_portrait
from expnet.animate.controls.gaze import redirect_gaze
from expnet.animate.inputs import ImageInput
from expnet.assets.sadtalker import open_sadtalker_networks
from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import FaceTracker
from expnet.media.image_reader import LARGEST_SIDE
from expnet.media.transparent_video import cut_out
from expnet.render.face_vid2vid.face_crop import face_crop
from expnet.render.face_vid2vid.renderer import SadTalkerRenderer
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import Portrait, open_portrait
from expnet.render.refiner.region_refiner import PairedRefiner, RegionModel, open_refiner
from expnet.render.renderer import Renderer

RendererKind = Literal["mesh", "sadtalker"]
RENDERERS: tuple[RendererKind, ...] = get_args(RendererKind)


class PortraitRenderer:
    """Renders portraits with one face model and one kind of renderer.

    Args:
        face_model: Face model of the coefficients.
        renderer: ``mesh`` (`expnet.render.mesh_renderer`) or ``sadtalker`` (`expnet.render.face_vid2vid`).
        size: Side in pixels of the squares that SadTalker's renderer draws, 256 or 512; None for 256.
        refiner: Weights of a refiner of the renderer (run folder, .ckpt or .safetensors), or None.
        max_side: Larger portraits are scaled down to this many pixels.
        tracker: Face tracker; None for the built-in models.

    Raises:
        InputError: The weights do not exist, are damaged, or belong to another task, or options exclude each other.
    """

    def __init__(
        self,
        face_model: MorphableModel,
        *,
        renderer: RendererKind = "mesh",
        size: int | None = None,
        refiner: str | os.PathLike[str] | None = None,
        max_side: int = LARGEST_SIDE,
        tracker: FaceTracker | None = None,
    ) -> None:
        self.face_model = face_model
        if renderer not in RENDERERS:
            raise InputError(f"renderer {renderer}: expected one of {', '.join(RENDERERS)}.")
        if renderer == "mesh" and size is not None:
            raise InputError(f"renderer_size {size}: only SadTalker's renderer has sizes; the mesh renderer draws any.")
        if renderer != "mesh" and refiner is not None:
            raise InputError("a refiner corrects the mesh renderer's mouths: leave it out with another renderer.")
        self._networks = open_sadtalker_networks(size or 256) if renderer == "sadtalker" else None
        self._refiner = None if refiner is None else open_refiner(refiner)
        self._max_side = max_side
        self._tracker = tracker

    def open(self, image: ImageInput, controls: Controls) -> Portrait:
        """Load, track and fit a portrait with the framing, gaze and background of the controls.

        Raises:
            InputError: The image or the background cannot be used.
        """
        read_background(controls.background)  # refused before the portrait is tracked
        cropped = self._networks is not None and controls.view == "crop"
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
        return change_background(portrait, controls.background)

    def renderer(self, portrait: Portrait) -> Renderer:
        """Return the renderer of one portrait.

        Raises:
            InputError: The portrait's face is too small for it.
        """
        if self._networks is not None:
            return SadTalkerRenderer(portrait, self.face_model, self._networks)
        return self._mesh_renderer(portrait, self._refiner)

    def check_transparency(self) -> None:
        """Refuse videos without background where the renderer cannot make them.

        Raises:
            InputError: It is not the mesh renderer.
        """
        if self._networks is not None:
            raise InputError(
                "SadTalker's renderer draws no transparent video: write an .mp4, or use the mesh renderer."
            )

    def render(
        self, portrait: Portrait, coefficients: FaceCoefficients, *, blink: NDArray | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield frames (H, W, 3) uint8 RGB of a portrait driven by coefficients in its own camera."""
        return self.renderer(portrait).render(coefficients, blink=blink)

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

    def _cut_to_face(self, portrait: Portrait) -> Portrait:
        """Return the square around the face as a portrait of the networks' size, which they draw whole."""
        assert self._networks is not None
        square = face_crop(portrait.landmarks).cut(portrait.image, self._networks.size)
        return open_portrait(square, self.face_model, max_side=None, tracker=self._tracker)
