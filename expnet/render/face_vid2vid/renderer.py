"""SadTalker's renderer: its networks draw the square around the face, which is put back into the portrait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.assets.sadtalker import SadTalkerNetworks
from expnet.coefficients import FaceCoefficients
from expnet.face.alignment import align_face, cut_aligned
from expnet.face.morphable import MorphableModel
from expnet.formats.coefficient_files import coefficients_from_vectors, coefficients_to_vectors
from expnet.models.face_vid2vid.head_motion import move_keypoints
from expnet.models.face_vid2vid.mapping import COEFFICIENTS, RADIUS
from expnet.render.face_vid2vid.basel_motion import BaselMotion
from expnet.render.face_vid2vid.drawn_square import DrawnSquare, SquareDrawing, image_tensor
from expnet.render.portrait import Portrait
from expnet.render.renderer import MotionPart

_CHUNK = 64


class SadTalkerRenderer:
    """Renders one portrait with SadTalker's networks.

    A portrait of exactly the networks' size is drawn whole. From any other, a square around the face is drawn and put
    back with a soft mask. Frames are drawn one batch at a time, so memory does not grow with the number of frames.

    Args:
        portrait: The portrait.
        model: The face model of its fit and of the motions; a Basel face model drives the networks directly.
        networks: The networks.

    Raises:
        InputError: The face is too small.
    """

    def __init__(self, portrait: Portrait, model: MorphableModel, networks: SadTalkerNetworks) -> None:
        self._square = DrawnSquare(portrait, networks.size)
        mapping = networks.mapping if self._square.crop is not None else networks.crop_mapping
        self._columns = mapping.coefficients
        basel, self._place = _regress(networks, self._square, portrait)
        self._motion = BaselMotion(portrait.fit, basel, model)
        with torch.inference_mode():
            canonical = networks.keypoints(self._square.tensor(_device(networks)))

        def keypoints(window: Tensor) -> Tensor:
            return move_keypoints(canonical, mapping(window))

        self._drawing = SquareDrawing(self._square, networks.generator, keypoints, self._rows(basel)[0])

    lookahead = RADIUS
    """The mapping network sees 13 frames (0.52 s) after the frame that is drawn."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames in pixels."""
        return self._square.size

    def render(self, coefficients: FaceCoefficients, *, blink: NDArray | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield one (H, W, 3) uint8 RGB frame for each frame of the coefficients.

        Args:
            coefficients: Expression and pose in the portrait's own camera, or Basel coefficients.
            blink: (T,) additional closure of the lids, from 0 (none) to 1 (shut).
        """
        return self._drawing.frames(self._motion_rows(coefficients, blink), coefficients.fps)

    def render_parts(self, parts: Iterable[MotionPart]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a motion that arrives in parts, 13 frames (0.52 s) after they have arrived."""
        return self._drawing.parts(parts, self._motion_rows)

    def _motion_rows(self, coefficients: FaceCoefficients, blink: NDArray | None) -> Iterator[NDArray[np.float32]]:
        """Yield the mapping network's coefficients (70 or 73,) of each frame."""
        for start in range(0, coefficients.frames, _CHUNK):
            stop = start + _CHUNK
            closing = None if blink is None else blink[start:stop]
            yield from self._rows(self._motion.convert(coefficients[start:stop], closing))

    def _rows(self, basel: FaceCoefficients) -> NDArray[np.float32]:
        rows = coefficients_to_vectors(basel, COEFFICIENTS["crop"])  # (T, 70)
        if self._columns == COEFFICIENTS["crop"]:
            return rows
        return np.c_[rows, np.broadcast_to(self._place, (len(rows), 3))]


def _regress(
    networks: SadTalkerNetworks, square: DrawnSquare, portrait: Portrait
) -> tuple[FaceCoefficients, NDArray[np.float32]]:
    """Return the portrait's Basel coefficients, with the crop in its pixels, and the aligned face's place (3,)."""
    place, side = square.place, len(square.source)
    corner, scale = np.array([place.left, place.top]), side / place.side
    alignment = align_face((portrait.landmarks - corner) * scale, side)
    aligned = image_tensor(cut_aligned(square.source, alignment), _device(networks))
    with torch.inference_mode():
        vector = networks.regressor(aligned).cpu().numpy()  # (1, 257)
    centre = np.array(alignment.centre)
    crop = np.array([*(centre / scale + corner), alignment.side / scale])
    # The network reads the centre's height from the bottom of the square, as the original stores it.
    aligned_place = np.array([alignment.scale, centre[0], side - centre[1]], np.float32)
    return coefficients_from_vectors(vector).with_(crop=crop), aligned_place


def _device(networks: SadTalkerNetworks) -> torch.device:
    return networks.generator.second.weight.device
