"""Portraits rendered by a network that was trained on tracked videos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.facial_features import close_lids
from expnet.face.morphable import MorphableModel
from expnet.models.face_vid2vid.mapping import RADIUS
from expnet.models.saved_model import load_model
from expnet.models.video_renderer import VideoRenderer
from expnet.render.face_vid2vid.drawn_square import DrawnSquare, SquareDrawing
from expnet.render.portrait import Portrait
from expnet.render.renderer import MotionPart
from expnet.render.video_renderer.motion_rows import motion_rows

_CHUNK = 64


class TrainedRenderer:
    """Renders one portrait with a `VideoRenderer`.

    A portrait of exactly the network's size is drawn whole. From any other, a square around the face is drawn and put
    back with a soft mask. Frames are drawn one at a time, so memory does not grow with the number of frames.

    Args:
        portrait: The portrait.
        model: The face model of its fit and of the motions.
        network: The network, from `open_video_renderer`.

    Raises:
        InputError: The face is too small, or the network was trained on coefficients of another face model.
    """

    lookahead = RADIUS
    """The mapping network sees 13 frames (0.52 s) after the frame that is drawn."""

    def __init__(self, portrait: Portrait, model: MorphableModel, network: VideoRenderer) -> None:
        if model.name != network.face_model:
            raise InputError(
                f"this renderer was trained on coefficients of the face model '{network.face_model}', which those of "
                f"'{model.name}' cannot drive: train one on clips of '{model.name}'."
            )
        self._model, self._fit = model, portrait.fit
        self._square = DrawnSquare(portrait, network.size)
        with torch.inference_mode():
            canonical = network.detector(self._square.tensor(network.row_mean.device))

        def keypoints(window: Tensor) -> Tensor:
            return network.move(canonical, window).keypoints

        still = motion_rows(portrait.fit, self._square.place)[0]
        self._drawing = SquareDrawing(self._square, network.generator, keypoints, still)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames in pixels."""
        return self._square.size

    def render(self, coefficients: FaceCoefficients, *, blink: NDArray | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield one (H, W, 3) uint8 RGB frame for each frame of the coefficients.

        Args:
            coefficients: Expression and pose in the portrait's own camera.
            blink: (T,) additional closure of the lids, from 0 (none) to 1 (shut).
        """
        return self._drawing.frames(self._rows(coefficients, blink), coefficients.fps)

    def render_parts(self, parts: Iterable[MotionPart]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a motion that arrives in parts, 13 frames (0.52 s) after they have arrived."""
        return self._drawing.parts(parts, self._rows)

    def _rows(self, coefficients: FaceCoefficients, blink: NDArray | None) -> Iterator[NDArray[np.float32]]:
        for start in range(0, coefficients.frames, _CHUNK):
            part = coefficients[start : start + _CHUNK]
            if blink is not None and np.any(blink[start : start + _CHUNK]):
                assert self._fit.identity is not None
                closed = close_lids(self._model, self._fit.identity, part.expression, blink[start : start + _CHUNK])
                part = part.with_(expression=closed)
            yield from motion_rows(part, self._square.place)


def open_video_renderer(path: str | os.PathLike[str], *, device: str | torch.device | None = None) -> VideoRenderer:
    """Load a trained renderer from a run folder, a .ckpt or a .safetensors file, ready to draw.

    Args:
        path: The run or file.
        device: Where it runs; None for a GPU if there is one.

    Raises:
        InputError: The file does not exist, is damaged, or holds another network.
    """
    network = load_model(Path(path), "renderer")
    assert isinstance(network, VideoRenderer)
    for module in list(network.modules()):
        if is_parametrized(module):  # the spectral norm, which only training needs
            remove_parametrizations(module, "weight")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return network.requires_grad_(False).to(device)
