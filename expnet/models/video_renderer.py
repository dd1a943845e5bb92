"""A renderer that is trained on tracked videos: one frame of a person and coefficients -> frames of that person.

The networks are those of face-vid2vid (`expnet.models.face_vid2vid`), driven by the coefficients of a face model
instead of by images: windows of coefficients -> mapping network -> motion of the keypoints -> flow -> frame.

A frame's coefficients, a row of `expnet.render.video_renderer.motion_rows`, describe the face in the square that the
networks see: expression, rotation (pitch, yaw, roll) and place (x, y and logarithm of the size).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from expnet.face.morphable import BUILTIN_NAME
from expnet.models.face_vid2vid.generator import FaceGenerator
from expnet.models.face_vid2vid.head_motion import HeadMotion, move_keypoints
from expnet.models.face_vid2vid.keypoints import KeypointDetector
from expnet.models.face_vid2vid.mapping import MappingNetwork
from expnet.models.face_vid2vid.sizes import RendererSizes

POSE = 6
"""Numbers of a row after the expression: three angles, and the place x, y and logarithm of the size."""
_AXES = (1.0, 1.0, 1.0)


class MovedKeypoints(NamedTuple):
    """Keypoints of a frame, and the motion that put them there.

    Attributes:
        keypoints: (B, K, 3) in the axes of `expnet.models.face_vid2vid.grids.volume_grid`.
        motion: Pose and expression of the frame.
    """

    keypoints: Tensor
    motion: HeadMotion


class Rendering(NamedTuple):
    """Rendered frames and the keypoints that made them.

    Attributes:
        frames: (B, 3, S, S) in (0, 1).
        source: Keypoints of the source frames.
        driven: Keypoints of the rendered frames.
    """

    frames: Tensor
    source: MovedKeypoints
    driven: MovedKeypoints


class VideoRenderer(nn.Module):
    """Renders frames of a person from one source frame and coefficients.

    Args:
        size: Side S of the frames in pixels. The weights serve other sides, too, but were trained on this one.
        expression_size: Expression coefficients E of the face model.
        face_model: Name of the face model of the coefficients.
        sizes: Values of `RendererSizes` as a plain dict; those left out are face-vid2vid's.
    """

    task = "renderer"
    row_mean: Tensor
    row_std: Tensor

    def __init__(
        self,
        *,
        size: int = 256,
        expression_size: int = 64,
        face_model: str = BUILTIN_NAME,
        sizes: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "size": size,
            "expression_size": expression_size,
            "face_model": face_model,
            "sizes": dict(sizes or {}),
        }
        self.size, self.expression_size, self.face_model = size, expression_size, face_model
        resolved = RendererSizes(**(sizes or {}))
        self.rows = expression_size + POSE
        self.detector = KeypointDetector(resolved)
        self.mapping = MappingNetwork(self.rows, resolved)
        self.generator = FaceGenerator(resolved, spectral=True)
        self.register_buffer("row_mean", torch.zeros(self.rows))
        self.register_buffer("row_std", torch.ones(self.rows))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation (E + 6,) of the rows, with which windows are normalised."""
        self.row_mean.copy_(mean)
        self.row_std.copy_(std)

    def move(self, canonical: Tensor, window: Tensor) -> MovedKeypoints:
        """Move canonical keypoints (B, K, 3) by windows of rows (B, E + 6, 27)."""
        motion = self.mapping((window - self.row_mean[:, None]) / self.row_std[:, None])
        # Positions in 16 bits would be off by a quarter of a cell, so mixed precision ends here.
        with torch.autocast(window.device.type, enabled=False):
            motion = HeadMotion(*(part.to(window.dtype) for part in motion))
            return MovedKeypoints(move_keypoints(canonical, motion, axes=_AXES), motion)

    def keypoints(self, image: Tensor, window: Tensor) -> MovedKeypoints:
        """Return the keypoints of frames (B, 3, S, S) with windows (B, E + 6, 27): of their own identity."""
        return self.move(self.detector(image), window)

    def forward(self, source: Tensor, source_window: Tensor, driving_window: Tensor) -> Rendering:
        """Render frames.

        Args:
            source: (B, 3, S, S) source frames in [0, 1].
            source_window: (B, E + 6, 27) the row of each source frame, repeated.
            driving_window: (B, E + 6, 27) rows of the frame to render and of 13 frames before and after it.
        """
        canonical = self.detector(source)  # (B, K, 3)
        before, after = self.move(canonical, source_window), self.move(canonical, driving_window)
        return Rendering(self.generator(source, after.keypoints, before.keypoints), before, after)
