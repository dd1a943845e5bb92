"""MediaPipe's selfie segmenter: how likely each pixel shows the person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expnet.face.litert.graph_slice import TfliteGraph
from expnet.face.litert.region import Region
from expnet.face.litert.runtime import Network
from expnet.face.mediapipe_backend import Image

Float = NDArray[np.float32]

_SIDE = 256
# The last layer, a transposed convolution with a bias, is an operation that only MediaPipe has.
_FEATURES, _KERNEL, _BIAS = "add_13__xeno_compat__1", "segment/Kernel", "segment/Bias"


class PersonSegmenter:
    """The segmenter.

    Args:
        path: selfie_segmentation.tflite.

    Raises:
        InputError: It is another file.
        MissingAssetError: LiteRT is not installed.
    """

    def __init__(self, path: Path) -> None:
        graph = TfliteGraph(path)
        self._network = Network(graph.slice(["input_1"], [_FEATURES]))
        self._kernel = graph.half_floats(_KERNEL).reshape(2, 2, -1)
        self._bias = graph.half_floats(_BIAS)

    def __call__(self, image: Image) -> Float:
        """Return the probability (H, W) that each pixel of an image shows a person."""
        import cv2

        height, width = image.shape[:2]
        whole = Region(width / 2, height / 2, width, height)
        (features,) = self._network(whole.crop(image, _SIDE, low=0.0, zero_border=True))
        # With stride and kernel 2, each feature makes four pixels of its own.
        pixels = np.einsum("yxc,ijc->yixj", features[0], self._kernel)  # (128, 2, 128, 2)
        scores = pixels.reshape(_SIDE, _SIDE) + self._bias
        return np.asarray(cv2.resize(expit(scores), (width, height)), np.float32)
