"""From 3DMM coefficients around a frame to the motion of keypoints."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from expnet.models.face_vid2vid.head_motion import HeadMotion, HeadMotionHeads
from expnet.models.face_vid2vid.sizes import PUBLISHED, RendererSizes

RADIUS = 13
"""Frames before and after a frame that the network sees."""
COEFFICIENTS = {"crop": 70, "full": 73}
"""Inputs of the two published networks: expression and pose of a crop, or also where the aligned face lies in it."""
_SLOPE = 0.1
_BLOCKS = 3


class MappingNetwork(HeadMotionHeads):
    """Maps 27 frames of coefficients to the motion of the middle one.

    Args:
        coefficients: Coefficients of a frame: 64 of the expression, 3 angles, 3 of the translation, and with 73 the
            scale and the centre x, y of the aligned face (`expnet.formats.coefficient_files`).
        sizes: Sizes of the networks.
    """

    def __init__(self, coefficients: int = COEFFICIENTS["full"], sizes: RendererSizes = PUBLISHED) -> None:
        width = sizes.mapping_width
        super().__init__(width, sizes.keypoints)
        self.coefficients = coefficients
        self.first = nn.Sequential(nn.Conv1d(coefficients, width, 7))
        for block in range(_BLOCKS):
            # The activation stands first, so that the convolution has the published name encoder<i>.1.
            layer = nn.Sequential(nn.LeakyReLU(_SLOPE), nn.Conv1d(width, width, 3, dilation=3))
            self.add_module(f"encoder{block}", layer)

    def forward(self, window: Tensor) -> HeadMotion:
        """Return the motion of the middle frame of windows (B, 70 or 73, 27)."""
        x = self.first(window)  # (B, N, 21)
        for block in range(_BLOCKS):
            x = self.get_submodule(f"encoder{block}")(x) + x[:, :, 3:-3]
        return self.heads(F.adaptive_avg_pool1d(x, 1).flatten(1))
