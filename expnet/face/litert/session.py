"""A stream of frames in which one face is found and followed, as MediaPipe's FaceMesh does it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from expnet.face.litert.face_detector import FaceDetector, far_detector, near_detector
from expnet.face.litert.landmark_network import LandmarkNetwork
from expnet.face.litert.region import Region, face_region
from expnet.face.litert.runtime import import_interpreter
from expnet.face.mediapipe_backend import Box, Image, merge_boxes
from expnet.face.tracking_models import FAR_DETECTOR, LANDMARKS, NEAR_DETECTOR, open_model

_EYE_CORNERS = (33, 263)


class LiteRtSession:
    """MediaPipe's models, run by LiteRT.

    Where the face was in the last frame, it is looked for in this one; faces are detected only when it is lost
    (face_landmark_front_cpu.pbtxt with one face).

    Raises:
        MissingAssetError: LiteRT is not installed, or a model is missing or damaged.
    """

    def __init__(self) -> None:
        import_interpreter()
        self._models = {model: open_model(model) for model in (NEAR_DETECTOR, FAR_DETECTOR, LANDMARKS)}
        self._region: Region | None = None

    @cached_property
    def _landmarks(self) -> LandmarkNetwork:
        return LandmarkNetwork(self._models[LANDMARKS])

    @cached_property
    def _near(self) -> FaceDetector:
        return near_detector(self._models[NEAR_DETECTOR])

    @cached_property
    def _far(self) -> FaceDetector:
        return far_detector(self._models[FAR_DETECTOR])

    def process(self, image: Image) -> NDArray[np.float32] | None:
        """Return the points (478, 3) of the followed face in the next frame, in pixels, or None."""
        region = self._region
        if region is None:
            faces = self._near(image)
            region = faces[0].region if faces else None
        points = None if region is None else self._landmarks(image, region)
        self._region = None if points is None else _next_region(points)
        return points

    def boxes(self, image: Image, *, far: bool = False) -> list[Box]:
        """Return the boxes of faces up to two metres away (fast), and of more distant ones if ``far``."""
        detectors = (self._near, self._far) if far else (self._near,)
        return merge_boxes([face.box for detector in detectors for face in detector(image)])

    def restart(self) -> None:
        """Stop following the current face."""
        self._region = None

    def close(self) -> None:
        """Free the networks."""
        for name in ("_landmarks", "_near", "_far"):
            self.__dict__.pop(name, None)


def _next_region(points: NDArray[np.float32]) -> Region:
    flat = points[:, :2]
    return face_region(flat.min(axis=0), flat.max(axis=0), *(flat[corner] for corner in _EYE_CORNERS))
