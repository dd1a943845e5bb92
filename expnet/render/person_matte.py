"""Separates the person from the background, so that a moving head does not drag the background along.

The portrait is split into two layers: the person, with an opacity, which the mesh moves; and the background, filled in
behind the person, which stays still. The split is exact: compositing the layers gives the portrait.
"""

import logging

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from expnet.face.mediapipe_backend import has_solutions, quiet_native_stderr
from expnet.face.tracking_models import FETCH, PERSON_SEGMENTER, locate_model, open_model
from expnet.render.background_fill import extend_background

Float = NDArray[np.float32]
_log = logging.getLogger(__name__)

# The segmenter's mask is stretched so that its soft edge falls on the background: hair belongs to the person.
_EDGE_LOW, _EDGE_HIGH = 0.06, 0.5
# Half the side of the segmented square around the face, as a multiple of the face's larger side.
_REACH = 1.35
# Share of face points that the mask must contain to be trusted; it fails on some drawings, masks and statues.
_BELIEVED = 0.97


def person_matte(image: NDArray[np.uint8], points: NDArray, *, reach: float = _REACH) -> Float | None:
    """Segment the person whose face is given, with MediaPipe's selfie segmenter.

    Args:
        image: (H, W, 3) uint8.
        points: (478, 3) tracked points in pixels.
        reach: Half the side of the segmented square around the face, as a multiple of the face's larger side; infinite
            for the whole image. Everything outside counts as the person.

    Returns:
        (H, W) opacity in [0, 1]. None where the segmenter is missing or does not find a person: the whole image
        then moves as one sheet.
    """
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    size = image.shape[1::-1]
    centre, half = (low + high) / 2, min(float((high - low).max()) * reach, float(sum(size)))
    x0, y0 = np.maximum(np.floor(centre - half).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(centre + half).astype(int), size)
    mask = _segment(np.ascontiguousarray(image[y0:y1, x0:x1]))
    if mask is None:
        return None
    matte = np.ones(image.shape[:2], np.float32)
    # Nothing outside the square moves, so the layers need not be separated there.
    matte[y0:y1, x0:x1] = np.clip((mask - _EDGE_LOW) / (_EDGE_HIGH - _EDGE_LOW), 0.0, 1.0)
    inner = points[[1, 4, 6, 9, 50, 280, 152, 10, 61, 291, 33, 263, 199], :2].round().astype(int)
    inner = np.clip(inner, 0, np.array(image.shape[1::-1]) - 1)
    if matte[inner[:, 1], inner[:, 0]].mean() < _BELIEVED:
        return None
    width = max(float(high[0] - low[0]), 1.0)
    grown = ndimage.grey_dilation(matte, size=2 * max(round(0.008 * width), 1) + 1)
    return ndimage.gaussian_filter(grown, max(0.004 * width, 0.5)).astype(np.float32)


def _segment(image: NDArray[np.uint8]) -> Float | None:
    if has_solutions():
        return _segment_by_mediapipe(image)
    from expnet.face.litert.person_segmenter import PersonSegmenter

    if locate_model(PERSON_SEGMENTER) is None:
        _log.warning("The background moves with the person, because their segmenter is missing: run '%s'.", FETCH)
        return None
    return PersonSegmenter(open_model(PERSON_SEGMENTER))(image)


def _segment_by_mediapipe(image: NDArray[np.uint8]) -> Float | None:
    from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

    with quiet_native_stderr(), SelfieSegmentation(model_selection=0) as segmenter:
        mask = segmenter.process(image).segmentation_mask
    return None if mask is None else np.asarray(mask, np.float32)


def split_layers(image: NDArray[np.uint8], matte: Float | None) -> tuple[Float, Float]:
    """Split a portrait into a moving layer and a background.

    ``moving[..., :3] + (1 - moving[..., 3:]) * background`` equals the portrait for any matte: the moving layer holds
    colours times opacity, which is whatever the background does not explain of a pixel.

    Args:
        image: (H, W, 3) uint8.
        matte: (H, W) opacity of the person, or None if everything is the person.

    Returns:
        Moving layer (H, W, 4), colours times opacity and opacity; background (H, W, 3).
    """
    moving = np.ones((*image.shape[:2], 4), np.float32)
    moving[..., :3] = image
    background = image.astype(np.float32)
    if matte is None:
        return moving, background
    opacity = np.where(matte < 0.01, 0.0, np.where(matte > 0.99, 1.0, matte)).astype(np.float32)
    background = np.where(opacity[..., None] > 0.0, extend_background(background, opacity == 0.0), background)
    moving[..., 3] = opacity
    moving[..., :3] -= (1.0 - opacity[..., None]) * background
    return moving, background
