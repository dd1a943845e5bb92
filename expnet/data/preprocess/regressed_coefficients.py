"""Basel coefficients of video frames, regressed by Deep3DFaceRecon's network instead of fitted to tracked points.

The network sees each frame aligned by its own landmarks, as it was trained. Its translation belongs to that moving
square, so it is expressed in one square for the clip, which leaves every projected point where it is.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE
from expnet.coefficients import FaceCoefficients
from expnet.face.alignment import align_face, cut_aligned
from expnet.face.camera import DISTANCE, FOCAL
from expnet.face.lost_frames import fill_lost_frames
from expnet.formats.coefficient_files import coefficients_from_vectors, coefficients_to_vectors

_BATCH = 8
_WIDTH = 257


def regress_clip(
    network: Callable[[Tensor], Tensor],
    frames: Iterable[NDArray[np.uint8]],
    landmarks: NDArray[np.floating],
    found: NDArray[np.bool_],
) -> FaceCoefficients:
    """Return the Basel coefficients of a clip at 25 frames/s, with one identity and one crop.

    Args:
        network: The regressor, in evaluation mode, or an `expnet.metrics.Extractor` of it.
        frames: T frames (H, W, 3), read once, in order.
        landmarks: (T, 68, 2) tracked landmarks in pixels of the frames.
        found: (T,) frames in which a face was found; the coefficients of others are interpolated.
    """
    vectors, crops = [], []
    aligned = _aligned(frames, landmarks, found)
    while batch := list(islice(aligned, _BATCH)):
        images = torch.from_numpy(np.stack([image for image, _ in batch])).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            vectors.append(network(images).numpy())  # (B, 257)
        crops += [crop for _, crop in batch]
    regressed = coefficients_from_vectors(np.concatenate(vectors), fps=FRAME_RATE)
    fixed = in_one_crop(regressed.with_(crop=np.array(crops)))
    crop = fixed.crop
    rows = coefficients_to_vectors(fixed, _WIDTH)
    filled = coefficients_from_vectors(np.asarray(fill_lost_frames(rows, found), np.float32), fps=FRAME_RATE)
    assert filled.identity is not None
    return filled.with_(identity=filled.identity.mean(axis=0), texture=None, illumination=None, crop=crop)


def in_one_crop(coefficients: FaceCoefficients) -> FaceCoefficients:
    """Express coefficients with a crop a frame (T, 3) in the average crop (3,); projected points stay where they are.

    With s = side FOCAL / (DISTANCE - z), the pixels of a face unit, z changes so that s stays, and x, y so that
    ``centre + s (x, -y)`` stays.
    """
    assert coefficients.crop is not None
    crops, translation = coefficients.crop, coefficients.translation.astype(np.float64)
    scale = crops[:, 2] * FOCAL / (DISTANCE - translation[:, 2])
    place = crops[:, :2] + scale[:, None] * translation[:, :2] * [1.0, -1.0]
    crop = crops.mean(axis=0)
    shift = (place - crop[:2]) / scale[:, None] * [1.0, -1.0]
    return coefficients.with_(translation=np.c_[shift, DISTANCE - crop[2] * FOCAL / scale], crop=crop)


def _aligned(
    frames: Iterable[NDArray[np.uint8]], landmarks: NDArray[np.floating], found: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Yield the aligned image and the crop (3,) of every frame with a face."""
    for frame, marks, seen in zip(frames, landmarks, found, strict=True):
        if seen:
            alignment = align_face(marks, len(frame))
            yield cut_aligned(frame, alignment), np.array([*alignment.centre, alignment.side])
