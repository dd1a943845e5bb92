"""The square of a portrait that networks draw: cut out, drawn frame by frame, and put back into the portrait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.coefficients import FaceCoefficients
from expnet.models.face_vid2vid.generator import FaceGenerator
from expnet.render.face_vid2vid.coefficient_windows import coefficient_windows, window_offsets
from expnet.render.face_vid2vid.face_crop import FaceCrop, face_crop
from expnet.render.portrait import Portrait
from expnet.render.renderer import MotionPart


class DrawnSquare:
    """The square of one portrait.

    A portrait of exactly the networks' size is drawn whole. From any other, a square around the face is drawn and put
    back with a soft mask.

    Args:
        portrait: The portrait.
        size: Side in pixels at which the networks draw.

    Attributes:
        image: (H, W, 3) uint8, the portrait.
        crop: The square; None for a portrait that is drawn whole.
        source: (size, size, 3) uint8, what is in the square.

    Raises:
        InputError: The face is too small.
    """

    def __init__(self, portrait: Portrait, size: int) -> None:
        self.image = portrait.image
        self.crop = None if self.image.shape[:2] == (size, size) else face_crop(portrait.landmarks)
        self.source = self.image if self.crop is None else self.crop.cut(self.image, size)
        self._mask = None if self.crop is None else self.crop.mask(self.image)

    @property
    def place(self) -> FaceCrop:
        """The square in pixels of the portrait, also if it is the whole portrait."""
        return FaceCrop(0, 0, len(self.image)) if self.crop is None else self.crop

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the portrait in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def tensor(self, device: torch.device) -> Tensor:
        """Return what is in the square as (1, 3, size, size) in [0, 1]."""
        return image_tensor(self.source, device)

    def paste(self, drawn: Tensor) -> NDArray[np.uint8]:
        """Return the portrait (H, W, 3) with a drawn square (3, size, size) in [0, 1]."""
        square = (drawn.permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        if self.crop is None or self._mask is None:
            return square
        return self.crop.paste(square, self.image, self._mask)


def image_tensor(image: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return an image (H, W, 3) as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(image.copy()).to(device).permute(2, 0, 1)[None].float() / 255


class SquareDrawing:
    """Draws the square of one portrait with a face-vid2vid generator, one frame at a time.

    Args:
        square: The square.
        generator: The generator, in evaluation mode.
        keypoints: Keypoints (1, K, 3) of a window of rows (1, C, 27).
        still: (C,) the portrait's own row.
    """

    def __init__(
        self,
        square: DrawnSquare,
        generator: FaceGenerator,
        keypoints: Callable[[Tensor], Tensor],
        still: NDArray[np.float32],
    ) -> None:
        self._square, self._generator, self._keypoints = square, generator, keypoints
        self._device = generator.second.weight.device
        offsets = window_offsets(25.0)
        with torch.inference_mode():
            self._source = generator.encode(square.tensor(self._device))
            self._still = self._moved(np.repeat(still[:, None], len(offsets), axis=1))

    def frames(self, rows: Iterable[NDArray[np.float32]], fps: float) -> Iterator[NDArray[np.uint8]]:
        """Yield the portrait (H, W, 3) for each row (C,), 13 frames of 40 ms after it has arrived."""
        for window in coefficient_windows(rows, window_offsets(fps)):
            with torch.inference_mode():
                drawn = self._generator.decode(self._source, self._moved(window), self._still)[0]
            yield self._square.paste(drawn)

    def parts(
        self, parts: Iterable[MotionPart], rows_of: Callable[[FaceCoefficients, NDArray], Iterator[NDArray[np.float32]]]
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a motion that arrives in parts, whose rows (C,) ``rows_of`` makes of each part."""
        waiting = iter(parts)
        first = next(waiting, None)
        if first is None:
            return
        rows = (row for part in chain([first], waiting) for row in rows_of(part.coefficients, part.blink))
        yield from self.frames(rows, first.coefficients.fps)

    def _moved(self, window: NDArray[np.float32]) -> Tensor:
        return self._keypoints(torch.from_numpy(np.ascontiguousarray(window)[None]).to(self._device))
