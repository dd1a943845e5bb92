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
from expnet.render.face_vid2vid.coefficient_windows import coefficient_windows, window_offsets
from expnet.render.face_vid2vid.face_crop import FaceCrop, face_crop
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
        self._networks, self._image = networks, portrait.image
        self._device = networks.generator.second.weight.device
        self._crop = _square(portrait, networks.size)
        self._mapping = networks.crop_mapping if self._crop is None else networks.mapping
        self._mask = None if self._crop is None else self._crop.mask(portrait.image)
        source = portrait.image if self._crop is None else self._crop.cut(portrait.image, networks.size)
        basel, self._place = self._regress(source, portrait)
        self._motion = BaselMotion(portrait.fit, basel, model)
        with torch.inference_mode():
            pixels = _tensor(source, self._device)
            self._source = networks.generator.encode(pixels)
            self._canonical = networks.keypoints(pixels)
            still = self._rows(basel)[0][:, None].repeat(len(window_offsets(25.0)), axis=1)
            self._still = self._keypoints(np.ascontiguousarray(still)[None])

    lookahead = RADIUS
    """The mapping network sees 13 frames (0.52 s) after the frame that is drawn."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames in pixels."""
        return self._image.shape[0], self._image.shape[1]

    def render(self, coefficients: FaceCoefficients, *, blink: NDArray | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield one (H, W, 3) uint8 RGB frame for each frame of the coefficients.

        Args:
            coefficients: Expression and pose in the portrait's own camera, or Basel coefficients.
            blink: (T,) additional closure of the lids, from 0 (none) to 1 (shut).
        """
        return self._draw(self._motion_rows(coefficients, blink), coefficients.fps)

    def render_parts(self, parts: Iterable[MotionPart]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a motion that arrives in parts, 13 frames (0.52 s) after they have arrived."""
        waiting = iter(parts)
        first = next(waiting, None)
        if first is None:
            return
        rows = (row for part in _chain(first, waiting) for row in self._motion_rows(part.coefficients, part.blink))
        yield from self._draw(rows, first.coefficients.fps)

    def _regress(self, source: NDArray[np.uint8], portrait: Portrait) -> tuple[FaceCoefficients, NDArray[np.float32]]:
        """Return the portrait's Basel coefficients, with the crop in its pixels, and the aligned face's place (3,)."""
        corner, scale = np.zeros(2), 1.0
        if self._crop is not None:
            corner, scale = np.array([self._crop.left, self._crop.top]), len(source) / self._crop.side
        alignment = align_face((portrait.landmarks - corner) * scale, len(source))
        aligned = _tensor(cut_aligned(source, alignment), self._device)
        with torch.inference_mode():
            vector = self._networks.regressor(aligned).cpu().numpy()  # (1, 257)
        centre = np.array(alignment.centre)
        crop = np.array([*(centre / scale + corner), alignment.side / scale])
        # The network reads the centre's height from the bottom of the square, as the original stores it.
        place = np.array([alignment.scale, centre[0], len(source) - centre[1]], np.float32)
        return coefficients_from_vectors(vector).with_(crop=crop), place

    def _motion_rows(self, coefficients: FaceCoefficients, blink: NDArray | None) -> Iterator[NDArray[np.float32]]:
        """Yield the mapping network's coefficients (70 or 73,) of each frame."""
        for start in range(0, coefficients.frames, _CHUNK):
            stop = start + _CHUNK
            closing = None if blink is None else blink[start:stop]
            yield from self._rows(self._motion.convert(coefficients[start:stop], closing))

    def _rows(self, basel: FaceCoefficients) -> NDArray[np.float32]:
        rows = coefficients_to_vectors(basel, COEFFICIENTS["crop"])  # (T, 70)
        if self._mapping.coefficients == COEFFICIENTS["crop"]:
            return rows
        return np.c_[rows, np.broadcast_to(self._place, (len(rows), 3))]

    @torch.inference_mode()
    def _keypoints(self, windows: NDArray[np.float32]) -> Tensor:
        """Return the keypoints (B, K, 3) of windows (B, C, 27)."""
        motion = self._mapping(torch.from_numpy(windows).to(self._device))
        return move_keypoints(self._canonical.expand(len(windows), -1, -1), motion)

    def _draw(self, rows: Iterable[NDArray[np.float32]], fps: float) -> Iterator[NDArray[np.uint8]]:
        for window in coefficient_windows(rows, window_offsets(fps)):
            moved = self._keypoints(window[None])
            with torch.inference_mode():
                drawn = self._networks.generator.decode(self._source, moved, self._still)[0]
                square = (drawn.permute(1, 2, 0) * 255).round().byte().cpu().numpy()
            if self._crop is None or self._mask is None:
                yield square
            else:
                yield self._crop.paste(square, self._image, self._mask)


def _square(portrait: Portrait, size: int) -> FaceCrop | None:
    """Return the square around the face; None for a portrait that is drawn whole."""
    if portrait.image.shape[:2] == (size, size):
        return None
    return face_crop(portrait.landmarks)


def _chain(first: MotionPart, rest: Iterator[MotionPart]) -> Iterator[MotionPart]:
    yield first
    yield from rest


def _tensor(image: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return an image (H, W, 3) as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(image.copy()).to(device).permute(2, 0, 1)[None].float() / 255
