"""dlib's face recognition network (CC0), from the packages ``dlib-bin`` and ``face-recognition-models``.

It maps a face to 128 numbers, so that pictures of one person lie within a Euclidean distance of 0.6 (99.38 % on LFW;
http://dlib.net/face_recognition.py.html). Source of the steps: ``face_recognition.face_encodings`` of
https://github.com/ageitgey/face_recognition.
"""

from __future__ import annotations

from importlib import import_module, util
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from expnet.errors import MissingAssetError
from expnet.io.checksum import sha256

FILE = "dlib_face_recognition_resnet_model_v1.dat"
FIVE_POINTS = (45, 42, 36, 39, 33)
"""dlib's five points among the 68 iBUG landmarks: outer and inner corner of either eye, and the base of the nose."""


class DlibRecogniser:
    """Embeds faces whose landmarks are known.

    dlib aligns each face by its five points to 150 x 150 pixels with a margin of a quarter. Computed on the CPU, about
    0.13 s a face.

    Attributes:
        name: Name of the network, for protocols.
        checksum: SHA-256 of its weight file.

    Raises:
        MissingAssetError: A package is missing.
    """

    name = "dlib_face_recognition_resnet_model_v1"

    def __init__(self) -> None:
        path = _weight_file()
        try:
            # The package dlib-bin is meant to be imported as dlib, and holds the same compiled module.
            self._dlib: Any = import_module("dlib")
        except ImportError as error:
            raise MissingAssetError("dlib is not installed: pip install 'expnet[identity]'.") from error
        self._network = self._dlib.face_recognition_model_v1(str(path))
        self.checksum = sha256(path)

    def __call__(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """Return embeddings (N, 128) float64.

        Args:
            images: (N, 3, H, W) uint8 RGB.
            landmarks: (N, 68, 2 or more) in pixels; dlib rounds them to whole ones.
        """
        rows = [self._embed(image, points) for image, points in zip(images, landmarks, strict=True)]
        return torch.tensor(rows, dtype=torch.float64).reshape(-1, 128)

    def _embed(self, image: Tensor, landmarks: Tensor) -> list[float]:
        points = landmarks[list(FIVE_POINTS), :2].round().long().tolist()
        height, width = image.shape[-2:]
        box = self._dlib.rectangle(0, 0, width - 1, height - 1)  # the alignment does not look at it
        shape = self._dlib.full_object_detection(box, self._dlib.points([self._dlib.point(*point) for point in points]))
        picture = image.permute(1, 2, 0).cpu().contiguous().numpy()
        return list(self._network.compute_face_descriptor(picture, shape, 1))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the network itself, so that copies of a metric share it."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the network anew in another process."""
        return DlibRecogniser, ()


def _weight_file() -> Path:
    """Return the weight file; the package is not imported, because it needs an old setuptools."""
    found = util.find_spec("face_recognition_models")
    folders = [] if found is None else list(found.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder, "models", FILE)
        if path.is_file():
            return path
    raise MissingAssetError("dlib's face recognition network is not installed: pip install 'expnet[identity]'.")
