"""The renderer that needs no weights: it warps the portrait with a triangle mesh on the tracked points."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.face.morphable import MorphableModel
from expnet.render.lids import LidPainter
from expnet.render.lip_seam import darken_seam
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS, GapScale
from expnet.render.mouth import MouthInterior
from expnet.render.person_matte import split_layers, strand_band
from expnet.render.portrait_motion import PortraitMotion, poses
from expnet.render.rasterize import PADDING, draw_triangles, identity_map, pad_image, sample, soften_folds
from expnet.render.refiner.region_refiner import FrameState, PortraitRegions, RegionModel
from expnet.render.renderer import MotionPart
from expnet.render.warp_mesh import build_warp_mesh

_CHUNK = 64


class MeshRenderer:
    """Renders a portrait by warping its own pixels; the docstring of `expnet.render` lists the parts.

    Args:
        portrait: (H, W, 3) uint8 RGB.
        fit: The portrait's coefficients (one frame) with identity and crop, in pixels of the portrait.
        points: (478, 3) tracked points in pixels of the portrait.
        model: The face model of the coefficients.
        matte: (H, W) opacity of the person in front of the background, see `expnet.render.person_matte.person_matte`.
            With None, the background around the head moves with it.
        lips: Correction of the gap between the lips, see `expnet.render.lip_calibration`; None for no correction.
        refiner: Model that corrects the rendered mouth and eyes; None for no correction.
    """

    def __init__(
        self,
        portrait: NDArray[np.uint8],
        fit: FaceCoefficients,
        points: NDArray,
        model: MorphableModel,
        *,
        matte: NDArray[np.float32] | None = None,
        lips: GapScale | None = None,
        refiner: RegionModel | None = None,
    ) -> None:
        self._portrait = np.ascontiguousarray(portrait)
        moving, self._background = split_layers(self._portrait, matte, band=strand_band(points))
        self._padded = pad_image(moving)
        self._identity = identity_map(*self.size)
        self._motion = PortraitMotion(points, fit, model, lips)
        self._mesh = build_warp_mesh(self._motion, points, model.triangles.numpy(), self.size)
        self._lids = LidPainter(self._padded, PADDING, points)
        self._mouth = MouthInterior(self._portrait, points, self._motion)
        self._regions = None if refiner is None else PortraitRegions(self._portrait, self._motion, refiner)
        self._map = self._identity.copy()
        self._depth = np.empty(self.size, np.float32)
        self._folds = np.empty(self.size, np.bool_)

    lookahead = 0
    """Each frame is drawn from its own coefficients alone."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames in pixels."""
        return self._portrait.shape[0], self._portrait.shape[1]

    @property
    def source_map(self) -> NDArray[np.float32]:
        """(H, W, 2) place x, y in the portrait that each pixel of the last rendered frame shows; not a copy."""
        return self._map

    def render(self, coefficients: FaceCoefficients, *, blink: NDArray | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield one (H, W, 3) uint8 RGB frame for each frame of the coefficients.

        Args:
            coefficients: Expression and pose in the portrait's own camera (its crop), so that the portrait's fit
                reproduces the portrait. Identity and crop are ignored.
            blink: (T,) additional closure of the lids, from 0 (none) to 1 (shut).
        """
        for start in range(0, coefficients.frames, _CHUNK):
            part = coefficients[start : start + _CHUNK]
            lids = None if blink is None else blink[start : start + _CHUNK]
            moved, closures = self._motion.displacements(part.expression, lids)
            cameras = poses(part.rotation, part.translation, self._motion.crop)
            for displacement, closure, camera in zip(moved, closures, cameras, strict=True):
                self._lids.paint(self._padded, closure)
                vertices, sources = self._mesh.place(self._motion, displacement, camera)
                frame = self._warp(vertices, sources)
                self._mouth.paint(frame, self._padded, displacement, camera, vertices)
                darken_seam(frame, _seam(vertices), self._motion.lips.contact(displacement), camera.scale)
                if self._regions is not None:
                    self._regions.refine(frame, FrameState(self._map, displacement, closure, camera, vertices))
                yield frame

    def render_parts(self, parts: Iterable[MotionPart]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a motion that arrives in parts, each at once."""
        for part in parts:
            yield from self.render(part.coefficients, blink=part.blink)

    def _warp(self, vertices: NDArray, sources: NDArray) -> NDArray[np.uint8]:
        self._map[:] = self._identity
        self._depth.fill(-np.inf)
        draw_triangles(vertices, sources, self._mesh.triangles, self._map, self._depth)
        frame = np.empty_like(self._portrait)
        sample(self._padded, self._map, PADDING, self._background, frame)
        soften_folds(frame, self._map, self._folds)
        return frame


def _seam(vertices: NDArray) -> NDArray:
    """Line halfway between the edges of the lips, (11, 2) pixels from corner to corner."""
    return 0.5 * (vertices[list(UPPER_ROWS[0]), :2] + vertices[list(LOWER_ROWS[0]), :2])
