"""MediaPipe's two face detectors (BlazeFace): anchors, decoding and weighted non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expnet.face.litert.region import Region, face_region
from expnet.face.litert.runtime import Network
from expnet.face.mediapipe_backend import Box, Image

Float = NDArray[np.float32]

_SAME_FACE = 0.3
"""Boxes with a larger intersection over union are averaged (face_detection.pbtxt)."""


@dataclass(frozen=True)
class Detection:
    """A face.

    Attributes:
        low: Left and top of its box in pixels.
        high: Right and bottom of its box in pixels.
        keypoints: (6, 2) pixels: right eye, left eye, nose, mouth, right ear, left ear.
    """

    low: Float
    high: Float
    keypoints: Float

    @property
    def box(self) -> Box:
        """Left, top, right and bottom in pixels."""
        return float(self.low[0]), float(self.low[1]), float(self.high[0]), float(self.high[1])

    @property
    def region(self) -> Region:
        """The region in which landmarks are looked for."""
        return face_region(self.low, self.high, self.keypoints[0], self.keypoints[1])


class FaceDetector:
    """A detector.

    Args:
        path: Its .tflite file.
        size: Width and height of its input in pixels.
        layers: Cells per side and boxes per cell of each of its output layers.
        minimum_score: Least probability of a face.
    """

    def __init__(self, path: Path, size: int, layers: tuple[tuple[int, int], ...], minimum_score: float) -> None:
        self._network = Network(path.read_bytes())
        self._size, self._minimum_score = size, minimum_score
        self._anchors = np.concatenate([_cell_centres(cells, boxes) for cells, boxes in layers])

    def __call__(self, image: Image) -> list[Detection]:
        """Return the faces in an image, the most certain first."""
        height, width = image.shape[:2]
        side = float(max(height, width))
        whole = Region(width / 2, height / 2, side, side)
        values, scores = self._network(whole.crop(image, self._size, low=-1.0, zero_border=True))
        certainty = expit(scores[0, :, 0])
        likely = np.flatnonzero(certainty >= self._minimum_score)
        likely = likely[np.argsort(-certainty[likely], kind="stable")]
        decoded = self._decode(values[0, likely], self._anchors[likely])
        valid = (decoded[:, 1] >= decoded[:, 0]).all(axis=-1)
        faces = average_overlapping(decoded[valid], certainty[likely][valid])  # each (8, 2)
        corner = np.array([whole.x - side / 2, whole.y - side / 2], np.float32)
        return [Detection(face[0], face[1], face[2:]) for face in (one * side + corner for one in faces)]

    def _decode(self, values: Float, anchors: Float) -> Float:
        """Return corners and keypoints (N, 8, 2) from a network's values (N, 16); the input spans 0 to 1."""
        pairs = values.reshape(-1, 8, 2) / self._size
        centre, half = pairs[:, 0] + anchors, pairs[:, 1] / 2
        return np.concatenate(
            [np.stack([centre - half, centre + half], axis=1), pairs[:, 2:] + anchors[:, None]], axis=1
        )


def near_detector(path: Path) -> FaceDetector:
    """Open the detector of faces up to two metres away (face_detection_short_range.pbtxt)."""
    return FaceDetector(path, 128, ((16, 2), (8, 6)), 0.5)


def far_detector(path: Path) -> FaceDetector:
    """Open the detector of distant faces (face_detection_full_range.pbtxt)."""
    return FaceDetector(path, 192, ((48, 1),), 0.6)


def _cell_centres(cells: int, boxes: int) -> Float:
    """Return the centres (N, 2) of square cells, row by row, each as often as it has boxes."""
    row, column = np.divmod(np.arange(cells * cells), cells)
    centres = (np.stack([column, row], axis=1) + 0.5) / cells
    return np.repeat(centres, boxes, axis=0).astype(np.float32)


def average_overlapping(faces: Float, scores: Float) -> list[Float]:
    """Average overlapping detections, weighted by their scores.

    Args:
        faces: (N, K, 2) corners and keypoints, the most certain first.
        scores: (N,).

    Returns:
        Each face (K, 2), the most certain first (MediaPipe's non_max_suppression_calculator.cc, WEIGHTED).
    """
    kept = []
    while len(faces):
        common = np.minimum(faces[:, 1], faces[0, 1]) - np.maximum(faces[:, 0], faces[0, 0])
        shared = np.prod(np.maximum(common, 0), axis=1)
        areas = np.prod(faces[:, 1] - faces[:, 0], axis=1)
        same = shared / np.maximum(areas + areas[0] - shared, 1e-12) > _SAME_FACE
        if not same.any():  # the box has no area
            kept.append(faces[0])
            break
        kept.append(np.average(faces[same], axis=0, weights=scores[same]).astype(np.float32))
        faces, scores = faces[~same], scores[~same]
    return kept
