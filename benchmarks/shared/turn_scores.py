"""Scores of turned heads: the outline against the background, what a turn uncovers, and the cheeks.

Everything is measured inside the clip's crop at 256 px, in regions of the *real* frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask

from expnet.coefficients import FaceCoefficients
from expnet.data.source_frames import read_frames
from expnet.data.store.track import Track
from expnet.errors import DataError
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import track_image
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.person_matte import person_matte
from expnet.render.portrait import Portrait, open_portrait
from expnet.render.reenactment import CROP_PIXELS, crop_frame
from shared.render_scores import settled

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SCORES = {
    "outline": "outline of the head, grey levels ↓",
    "uncovered": "uncovered background, grey levels ↓",
    "detail": "detail of the uncovered background minus the real one's, grey levels/px (0 is best)",
    "cheeks": "cheeks, grey levels ↓",
    "stretch": "stretch of the face and the hair, 95th percentile ↓",
}
_RIGHT_CHEEK, _LEFT_CHEEK = (0, 1, 2, 3, 4, 48, 31, 36), (16, 15, 14, 13, 12, 54, 35, 45)
# Half the width of the outline, how far a frame's person is kept away from the uncovered background, and how far the
# portrait's person is grown, in pixels of the crop.
_OUTLINE, _AWAY, _GROWN = 5, 5, 10
_FEWEST = 40


@dataclass(frozen=True, eq=False)
class Turns:
    """The straightest frame of a clip as the portrait, and its frames with the head turned away from there.

    Attributes:
        portrait: The portrait.
        fit: Its coefficients, one frame.
        coefficients: Coefficients of the turned frames.
        frames: The turned frames.
        crop: Centre x, centre y and side of the compared square.
    """

    portrait: Portrait
    fit: FaceCoefficients
    coefficients: FaceCoefficients
    frames: list[Image]
    crop: NDArray[np.float64]


def turned_frames(track: Track, count: int, least: float) -> NDArray[np.int64]:
    """The straightest valid frame, and up to ``count`` others at least ``least`` degrees of yaw away from it.

    Those are evenly spaced in the order of their yaw.

    Raises:
        DataError: Fewer than four frames are turned so far.
    """
    yaw = np.degrees(track.coefficients.rotation[:, 1])
    seen = np.flatnonzero(settled(track.valid))
    first = seen[np.abs(yaw[seen]).argmin()]
    far = seen[np.abs(yaw[seen] - yaw[first]) >= least]
    if len(far) < 4:
        raise DataError(f"fewer than four frames are turned by {least:g} degrees")
    places = np.linspace(0, len(far) - 1, min(count, len(far))).round().astype(int)
    return np.concatenate([[first], far[np.argsort(yaw[far])][places]])


def open_turns(track: Track, model: MorphableModel, count: int, least: float) -> Turns:
    """Read and track the frames of one clip."""
    chosen = turned_frames(track, count, least)
    of_clip = track.coefficients
    if of_clip.crop is None:
        raise DataError("the clip has no crop, so its frames cannot be compared")
    order, back = np.unique(chosen, return_inverse=True)
    read = list(read_frames(track, order).values())
    frames = [read[place] for place in back]
    rows = of_clip.with_(
        expression=of_clip.expression[chosen],
        rotation=of_clip.rotation[chosen],
        translation=of_clip.translation[chosen],
    )
    return Turns(open_portrait(frames[0], model, max_side=None), rows[:1], rows[1:], frames[1:], of_clip.crop)


def score_turns(turns: Turns, model: MorphableModel) -> tuple[dict[str, float], list[Image]]:
    """Render the turned frames and compare them with the real ones.

    Returns:
        The means of the `SCORES` over the frames that have the region, and the rendered frames of the crop.
    """
    portrait = turns.portrait
    if portrait.matte is None:
        raise DataError("the person in the portrait is not found, so it has no outline")
    renderer = MeshRenderer(portrait.image, turns.fit, portrait.points, model, matte=portrait.matte)
    before = ndimage.binary_dilation(in_crop(portrait.matte, turns.crop) > 0.5, iterations=_GROWN)
    rows: list[dict[str, float]] = []
    drawn = []
    for image, real in zip(renderer.render(turns.coefficients), turns.frames, strict=True):
        rows.append(_score_frame(image, real, before, turns.crop))
        rows[-1]["stretch"] = stretch(renderer.source_map, portrait.matte > 0.5, turns.crop)
        drawn.append(crop_frame(image, turns.crop))
    return {key: float(np.nanmean([row[key] for row in rows])) for key in SCORES}, drawn


def in_crop(matte: NDArray[np.float32], crop: NDArray[np.float64]) -> NDArray[np.float32]:
    """Opacities of a frame in the crop at 256 px."""
    image = np.repeat((255 * matte).astype(np.uint8)[..., None], 3, axis=2)
    return crop_frame(image, crop)[..., 0].astype(np.float32) / 255.0


def _score_frame(image: Image, real: Image, before: Mask, crop: NDArray[np.float64]) -> dict[str, float]:
    points = track_image(real).points[0]
    matte = person_matte(real, points)
    if matte is None:
        raise DataError("the person is not found in a turned frame")
    landmarks = (points[list(LANDMARKS_68_FROM_MEDIAPIPE), :2] - crop[:2]) * (CROP_PIXELS / crop[2]) + CROP_PIXELS / 2
    ours, true = (crop_frame(one, crop).astype(float) for one in (image, real))
    difference = np.abs(ours - true).mean(axis=-1)
    places = regions(in_crop(matte, crop) > 0.5, before, landmarks)
    details = [mean_inside(np.hypot(*np.gradient(one.mean(axis=-1))), places["uncovered"]) for one in (ours, true)]
    return {key: mean_inside(difference, mask) for key, mask in places.items()} | {"detail": details[0] - details[1]}


def regions(person: Mask, before: Mask, landmarks: NDArray[np.floating]) -> dict[str, Mask]:
    """Regions of one real frame.

    Args:
        person: (256, 256) the person in this frame.
        before: (256, 256) the person in the portrait, grown.
        landmarks: (68, 2) landmarks of this frame in pixels of the crop.
    """
    above_chin = np.arange(len(person))[:, None] < landmarks[8, 1]
    outline = ndimage.binary_dilation(person, iterations=_OUTLINE) & ~ndimage.binary_erosion(
        person, iterations=_OUTLINE, border_value=1
    )
    uncovered = before & ~ndimage.binary_dilation(person, iterations=_AWAY)
    cheeks = [polygon2mask(person.shape, landmarks[list(side), ::-1]) for side in (_RIGHT_CHEEK, _LEFT_CHEEK)]
    return {"outline": outline & above_chin, "uncovered": uncovered & above_chin, "cheeks": cheeks[0] | cheeks[1]}


def mean_inside(values: NDArray[np.float64], mask: Mask) -> float:
    """Mean of the values where the mask is set; NaN where it is nearly empty."""
    return float(values[mask].mean()) if mask.sum() >= _FEWEST else float("nan")


def stretch(source_map: NDArray[np.float32], person: Mask, crop: NDArray[np.float64]) -> float:
    """How far the texture of the head is stretched: the 95th percentile of 1 / (least singular value of the map).

    Args:
        source_map: (H, W, 2) place in the portrait that each pixel shows.
        person: (H, W) the person in the portrait.
        crop: Only pixels inside this square count.
    """
    low, high = crop[:2] - crop[2] / 2, crop[:2] + crop[2] / 2
    box = np.s_[max(int(low[1]), 0) : int(high[1]), max(int(low[0]), 0) : int(high[0])]
    inner = source_map[box].astype(np.float64)
    along, down = np.diff(inner, axis=1)[:-1], np.diff(inner, axis=0)[:, :-1]
    least = np.linalg.svd(np.stack([along, down], axis=-1), compute_uv=False)[..., -1]
    rows, columns = np.clip(np.rint(inner[:-1, :-1, ::-1]).astype(int), 0, np.array(person.shape) - 1).reshape(-1, 2).T
    moved = np.abs(inner[:-1, :-1] - _identity(inner.shape, box)[:-1, :-1]).max(axis=-1) > 0.5
    shown = person[rows, columns].reshape(least.shape) & moved
    return float(np.percentile(1.0 / np.maximum(least[shown], 0.05), 95)) if shown.sum() >= _FEWEST else float("nan")


def _identity(shape: Sequence[int], box: tuple[slice, slice]) -> NDArray[np.float64]:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.stack([columns + box[1].start, rows + box[0].start], axis=-1).astype(np.float64)
