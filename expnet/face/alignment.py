"""Aligns faces for Deep3DFaceRecon's network: five landmarks define the square that becomes its 224 x 224 input.

Source: sicxu/Deep3DFaceRecon_pytorch ``util/preprocess.py`` (``align_img``) and OpenTalker/SadTalker
``src/face3d/util/preprocess.py``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ALIGNED_SIDE = 224
"""Side in pixels of an aligned image."""
_FACE_SCALE = 102.0
"""Pixels per face unit of an aligned face, as in the original (``rescale_factor``)."""
# Eye centres, nose tip and mouth corners of the standard face (similarity_Lm3D_all.mat), in face units.
_STANDARD = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)
# The same points among the 68 landmarks; an eye centre is the middle of its corners.
_FIVE_POINTS = ((36, 39), (42, 45), (30,), (48,), (54,))


@dataclass(frozen=True)
class Alignment:
    """The square of an image that is shown to the network.

    Attributes:
        scale: Pixels of the aligned image per pixel of the image.
        centre: x and y of the square's centre in the image, in pixels.
    """

    scale: float
    centre: tuple[float, float]

    @property
    def side(self) -> float:
        """Side of the square in pixels of the image."""
        return ALIGNED_SIDE / self.scale


def align_face(landmarks: NDArray[np.floating], height: int) -> Alignment:
    """Place the square by the 68 landmarks, with the scaled orthographic camera that fits five of them best.

    Args:
        landmarks: (68, 2) pixels of the image.
        height: Height of the image in pixels.
    """
    points = np.stack([landmarks[list(rows)].mean(axis=0) for rows in _FIVE_POINTS]).astype(np.float64)  # (5, 2)
    points[:, 1] = height - 1 - points[:, 1]  # up, as in the standard face
    camera = np.linalg.lstsq(np.c_[_STANDARD, np.ones(5)], points, rcond=None)[0]  # (4, 2)
    size = np.linalg.norm(camera[:3], axis=0).mean()
    x, up = camera[3]
    return Alignment(float(_FACE_SCALE / size), (float(x), float(height - up)))


def cut_aligned(image: NDArray[np.uint8], alignment: Alignment) -> NDArray[np.uint8]:
    """Return the aligned image (224, 224, 3) of an image (H, W, 3); what lies outside of the image is black.

    The image is scaled to whole pixels and cut at whole pixels, as the network was trained.
    """
    height, width = image.shape[:2]
    size = np.array([int(width * alignment.scale), int(height * alignment.scale)])
    shift = (alignment.centre - np.array([width, height]) / 2) * alignment.scale
    left, top = ((size - ALIGNED_SIDE) / 2 + shift).astype(int).tolist()
    right, bottom = left + ALIGNED_SIDE, top + ALIGNED_SIDE
    # Only the part that is seen is scaled, with a margin for the filter.
    unscaled = np.array([width, height]) / size
    box = np.clip([[left - 4, top - 4], [right + 4, bottom + 4]], 0, size)
    box[0] = np.minimum(box[0], size - 1)
    box[1] = np.maximum(box[1], box[0] + 1)  # a face beside the image is black, too
    region = (*(box[0] * unscaled), *(box[1] * unscaled))
    seen = Image.fromarray(image).resize(tuple(box[1] - box[0]), Image.Resampling.BICUBIC, box=region)
    moved = (left - box[0, 0], top - box[0, 1])
    return np.asarray(seen.crop((*moved, moved[0] + ALIGNED_SIDE, moved[1] + ALIGNED_SIDE)))
