"""The baseline of the renderer: an image warped by its landmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from expnet.render.rasterize import PADDING, draw_triangles, identity_map, pad_image, sample


class PiecewiseAffine:
    """Piecewise-affine warp of an image on its 68 landmarks, fixed at the border.

    Args:
        image: (H, W, 3) uint8.
        landmarks: (68, 2) Landmarks in pixels of the image.
    """

    def __init__(self, image: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> None:
        height, width = image.shape[:2]
        across, down = np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5)
        grid = np.stack(np.meshgrid(across, down), axis=-1)  # (5, 5, 2)
        inner = np.zeros((5, 5), bool)
        inner[1:-1, 1:-1] = True
        self._border = grid[~inner]
        self._sources = np.concatenate([landmarks.astype(np.float64), self._border])
        self._triangles = Delaunay(self._sources).simplices.astype(np.int32)
        self._padded, self._background = pad_image(image), image.astype(np.float32)

    def warp(self, landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Warp the image so that its landmarks move to the given positions (68, 2)."""
        height, width = self._background.shape[:2]
        places = np.concatenate([landmarks.astype(np.float64), self._border])
        vertices = np.c_[places, np.zeros(len(places))]
        source_map, depth = identity_map(height, width), np.full((height, width), -np.inf, np.float32)
        draw_triangles(vertices, self._sources, self._triangles, source_map, depth)
        frame = np.empty((height, width, 3), np.uint8)
        sample(self._padded, source_map, PADDING, self._background, frame)
        return frame
