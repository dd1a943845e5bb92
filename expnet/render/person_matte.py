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
from expnet.render.background_fill import bilinear, extend_background

Float = NDArray[np.float32]
_log = logging.getLogger(__name__)

# The segmenter's mask is stretched so that its soft edge falls on the background: hair belongs to the person.
_EDGE_LOW, _EDGE_HIGH = 0.06, 0.5
# Half the side of the segmented square around the face, as a multiple of the face's larger side.
_REACH = 1.35
# Width of the band around the matte that may hold strands of hair, as a share of the face's width; and the standard
# deviation of the background in it, in grey levels, up to which strands can be told from it.
_BAND, _PLAIN = 0.06, 6.0
# Differences to the wall that are taken for its grain, in grey levels; twice as large ones are strands.
_GRAIN = 6.0
# Longer side of the image in which a plain wall is filled in, at least.
_WALL_SIDE = 256
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


def strand_band(points: NDArray) -> float:
    """Width in pixels of the band around the matte that may hold strands of hair, from the points (478, 3)."""
    return _BAND * float(np.ptp(points[:, 0]))


def split_layers(image: NDArray[np.uint8], matte: Float | None, *, band: float = 0.0) -> tuple[Float, Float]:
    """Split a portrait into a moving layer and a background.

    ``moving[..., :3] + (1 - moving[..., 3:]) * background`` equals the portrait for any matte: the moving layer holds
    colours times opacity, which is whatever the background does not explain of a pixel.

    Strands of hair reach past the matte. Left in the background, they would stay behind as a ghost of the head, and
    what a turn uncovers would mirror them. Where the background around is plain, it is therefore filled in there as
    behind the person, and the difference that a strand makes to it moves with the head. Differences as small as the
    grain of a wall stay where they are.

    Args:
        image: (H, W, 3) uint8.
        matte: (H, W) opacity of the person, or None if everything is the person.
        band: Width in pixels of the band around the matte that may hold strands; their share of the moving layer fades
            out over its outer half.

    Returns:
        Moving layer (H, W, 4), colours times opacity and opacity; background (H, W, 3).
    """
    moving = np.ones((*image.shape[:2], 4), np.float32)
    moving[..., :3] = image
    background = image.astype(np.float32)
    if matte is None:
        return moving, background
    opacity = np.where(matte < 0.01, 0.0, np.where(matte > 0.99, 1.0, matte)).astype(np.float32)
    person = opacity > 0.0
    background = np.where(person[..., None], extend_background(background, ~person), background)
    away = ndimage.distance_transform_edt(~person)
    known = away > band
    if band > 0.0 and known.any():
        inner = np.clip(2.0 - 2.0 * (away - 1.0) / band, 0.0, 1.0) * ~known
        plain, wall = _plain_wall(image, known, band)
        strand = np.clip(np.abs(wall - background).max(axis=-1, keepdims=True) / _GRAIN - 1.0, 0.0, 1.0)
        background += (plain * strand * inner[..., None]).astype(np.float32) * (wall - background)
    moving[..., 3] = opacity
    moving[..., :3] -= (1.0 - opacity[..., None]) * background
    return moving, background


def _plain_wall(image: NDArray[np.uint8], known: NDArray[np.bool_], reach: float) -> tuple[Float, Float]:
    """Where the known pixels around each pixel have one colour: a share (H, W, 1) from 0 to 1; and that wall (H, W, 3).

    A plain wall has no details, so a coarser image will do.
    """
    step = max(max(known.shape) // _WALL_SIDE, 1)
    coarse, seen = image[::step, ::step].astype(np.float32), known[::step, ::step]
    weight, reach = seen.astype(np.float32), reach / step
    total = np.maximum(ndimage.gaussian_filter(weight, reach), 1e-4)
    variance = np.zeros(seen.shape, np.float32)
    for channel in np.moveaxis(coarse, -1, 0):
        mean = ndimage.gaussian_filter(weight * channel, reach) / total
        variance += np.maximum(ndimage.gaussian_filter(weight * channel**2, reach) / total - mean**2, 0.0) / 3.0
    plain = np.clip(2.0 - np.sqrt(variance) / _PLAIN, 0.0, 1.0).astype(np.float32)[..., None]
    wall = extend_background(coarse, seen) if seen.any() else coarse
    rows, columns = (np.clip(np.arange(n) / step, 0, m - 1) for n, m in zip(known.shape, seen.shape, strict=True))
    return bilinear(plain, rows, columns), bilinear(wall, rows, columns)
