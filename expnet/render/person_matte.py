"""Telling the person from the background, so that a moving head does not drag the background along.

The portrait is split into two layers: the person, which the mesh moves, with an opacity; and a plate, which stays: the
background, continued behind the person. The split is exact: the layers laid over each other are the portrait.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from expnet.face.mediapipe_backend import quiet_native_stderr
from expnet.render.background_fill import extend_background

Float = NDArray[np.float32]

# The segmenter's mask is stretched so that its soft edge falls on the background side: hair belongs to the person.
_EDGE_LOW, _EDGE_HIGH = 0.06, 0.5
# Half the side of the square around the face that is segmented, as a multiple of the face's larger side.
_REACH = 1.35
# Share of the face that must be found to be a person before the mask is believed (drawings, masks, statues).
_BELIEVED = 0.97


def person_matte(image: NDArray[np.uint8], points: NDArray, *, reach: float = _REACH) -> Float | None:
    """Find the person whose face is given.

    Uses the selfie segmenter inside the mediapipe wheel that also brings the face tracker.

    Args:
        image: (H, W, 3) uint8.
        points: (478, 3) tracked points in pixels.
        reach: half the side of the square around the face that is looked at, as a multiple of the face's larger side;
            infinite for the whole picture. Outside, all counts as the person.

    Returns:
        (H, W) opacity 0..1, or None where there is no segmenter or it does not see a person: the whole picture then
        moves as one sheet.
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
    # What lies outside of the square never moves, so there the layers need no telling apart.
    matte[y0:y1, x0:x1] = np.clip((mask - _EDGE_LOW) / (_EDGE_HIGH - _EDGE_LOW), 0.0, 1.0)
    inner = points[[1, 4, 6, 9, 50, 280, 152, 10, 61, 291, 33, 263, 199], :2].round().astype(int)
    inner = np.clip(inner, 0, np.array(image.shape[1::-1]) - 1)
    if matte[inner[:, 1], inner[:, 0]].mean() < _BELIEVED:
        return None
    width = max(float(high[0] - low[0]), 1.0)
    grown = ndimage.grey_dilation(matte, size=2 * max(round(0.008 * width), 1) + 1)
    return ndimage.gaussian_filter(grown, max(0.004 * width, 0.5)).astype(np.float32)


def _segment(image: NDArray[np.uint8]) -> Float | None:
    try:
        from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation
    except ImportError:
        return None
    with quiet_native_stderr(), SelfieSegmentation(model_selection=0) as segmenter:
        mask = segmenter.process(image).segmentation_mask
    return None if mask is None else np.asarray(mask, np.float32)


def split_layers(image: NDArray[np.uint8], matte: Float | None) -> tuple[Float, Float]:
    """Split a portrait into a moving layer and a plate behind it.

    ``moving[..., :3] + (1 - moving[..., 3:]) * plate`` is the portrait, whatever the matte: what the plate does not
    explain of a pixel goes into the moving layer (colours times opacity).

    Args:
        image: (H, W, 3) uint8.
        matte: (H, W) opacity of the person, or None for everything.

    Returns:
        moving (H, W, 4): colour times opacity, and opacity; plate (H, W, 3).
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
