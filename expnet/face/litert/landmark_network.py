"""MediaPipe's face mesh with attention: 468 points of the face, then lips, eyes and irises again from closer by.

The network crops its own features at the lips and the eyes, by operations that only MediaPipe has
(mediapipe/util/tflite/operations). They are done here, between the two slices of the network that LiteRT runs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expnet.face.landmarks import MEDIAPIPE_POINTS, MESH_POINTS
from expnet.face.litert.graph_slice import TfliteGraph
from expnet.face.litert.region import Region
from expnet.face.litert.runtime import Network
from expnet.face.mediapipe_backend import Image

Float = NDArray[np.float32]

SIDE = 192
"""Width and height of the input in pixels."""
_FEATURE_SIDE = 48
_CROP_SIDE = 16
_CROP_SCALE = 1.5
MINIMUM_PRESENCE = 0.5

# Points that a closer look corrects, in the order of the network's outputs
# (mediapipe/modules/face_landmark/tensors_to_face_landmarks_with_attention.pbtxt).
LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407),
)
RIGHT_EYE = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),
    *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189),
    *(35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193),
)
LEFT_EYE = (
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
    *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413),
    *(265, 353, 276, 283, 282, 295),
    *(372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417),
)
_EYE_RIM = 16
"""The first points of an eye are its rim, whose mean depth its iris takes."""

# Each crop: its points, and the two of them that lie level in it.
_CROPS = ((LIPS, 61, 291), (RIGHT_EYE, 33, 133), (LEFT_EYE, 362, 263))
# Tensors of the network. What it calls the left eye is at the left of the image, the subject's right eye.
_FEATURES, _MESH, _FLAG = "p_re_lu_3", "output_mesh", "conv_faceflag"
_CROPPED = ("transform_tensor_bilinear_v2", "transform_tensor_bilinear_v2_1", "transform_tensor_bilinear_v2_2")
_CLOSER = ("reshape_1", "reshape_3", "reshape_4", "reshape_6", "reshape_7")
# The points of each output, and the crop that it sees.
_PLACES = (LIPS, RIGHT_EYE, (468, 469, 470, 471, 472), LEFT_EYE, (473, 474, 475, 476, 477))
_SEEN = (0, 1, 1, 2, 2)


class LandmarkNetwork:
    """The network of the 478 points.

    Args:
        path: face_landmark_with_attention.tflite.

    Raises:
        InputError: It is another file.
    """

    def __init__(self, path: Path) -> None:
        graph = TfliteGraph(path)
        self._face = Network(graph.slice(["input_1"], [_MESH, _FLAG, _FEATURES]))
        self._closer = Network(graph.slice(_CROPPED, _CLOSER))

    def __call__(self, image: Image, region: Region) -> Float | None:
        """Return the points (478, 3) of the face in a region, in pixels; None if there is no face."""
        mesh, flag, features = self._face(region.crop(image, SIDE, low=0.0, zero_border=False))
        if expit(flag.item()) <= MINIMUM_PRESENCE:
            return None
        points = np.zeros((MEDIAPIPE_POINTS, 3), np.float32)
        points[:MESH_POINTS] = mesh.reshape(MESH_POINTS, 3)
        scale = _FEATURE_SIDE / SIDE
        matrices = [crop_matrix(points[:, :2] * scale, *crop) for crop in _CROPS]  # each (2, 3)
        outputs = self._closer(*(sample_features(features[0], matrix)[None] for matrix in matrices))
        for places, crop, output in zip(_PLACES, _SEEN, outputs, strict=True):
            matrix = matrices[crop]
            points[list(places), :2] = output[0] @ matrix[:, :2].T + matrix[:, 2] / scale
        for iris, eye in ((slice(468, 473), RIGHT_EYE), (slice(473, 478), LEFT_EYE)):
            points[iris, 2] = points[list(eye[:_EYE_RIM]), 2].mean()
        return region.to_image(points / np.float32(SIDE))


def crop_matrix(points: Float, members: tuple[int, ...], first: int, last: int) -> Float:
    """Return the map (2, 3) from the pixels of a crop of 16 x 16 to those of the features.

    The crop holds 1.5 times the box around its members, turned so that the points ``first`` and ``last`` are level
    (landmarks_to_transform_matrix.cc, version 2).

    Args:
        points: (478, 2) in pixels of the features.
        members: Points that the crop holds.
        first: Point at the left.
        last: Point at the right.
    """
    across, down = points[last] - points[first]
    angle = np.arctan2(down, across)
    cosine, sine = np.cos(angle), np.sin(angle)
    back = np.array([[cosine, -sine], [sine, cosine]], np.float32)
    level = points[list(members)] @ back
    low, high = level.min(axis=0), level.max(axis=0)
    linear = back * (_CROP_SCALE * (high - low) / _CROP_SIDE)
    return np.concatenate([linear, (back @ (low + high) / 2 - linear.sum(axis=1) * _CROP_SIDE / 2)[:, None]], axis=1)


def sample_features(features: Float, matrix: Float) -> Float:
    """Return features (16, 16, C) at the mapped centres of a crop's pixels, by bilinear interpolation.

    Outside the features they are zero (transform_tensor_bilinear.cc, version 2).

    Args:
        features: (48, 48, C).
        matrix: (2, 3) from `crop_matrix`.
    """
    grid = np.arange(_CROP_SIDE, dtype=np.float32) + 0.5
    x, y = (row[0] * grid[None, :] + row[1] * grid[:, None] + row[2] - 0.5 for row in matrix)  # (16, 16) each
    last = _FEATURE_SIDE - 1
    inside = (x >= 0) & (x <= last) & (y >= 0) & (y <= last)
    left, top = (np.clip(np.floor(place), 0, last - 1).astype(int) for place in (x, y))
    right_share, lower_share = (x - left)[..., None], (y - top)[..., None]
    upper = features[top, left] * (1 - right_share) + features[top, left + 1] * right_share
    lower = features[top + 1, left] * (1 - right_share) + features[top + 1, left + 1] * right_share
    return ((upper * (1 - lower_share) + lower * lower_share) * inside[..., None]).astype(np.float32)
