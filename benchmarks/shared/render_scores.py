"""Scores of rendered frames against the real frames of one clip, for the renderer and its baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from expnet.data.even_spacing import evenly_spaced_indices
from expnet.data.source_frames import read_frames
from expnet.data.store.track import Track
from expnet.errors import DataError
from expnet.face.landmarks import LEFT_EYE, RIGHT_EYE
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import SETTLING_PASSES, open_tracker
from expnet.metrics.functional.image import psnr, ssim
from expnet.metrics.functional.landmarks import MOUTH, interocular_distance, landmark_distance
from expnet.metrics.functional.mouth import mouth_opening, pearson
from expnet.render.lip_calibration import calibrate_lips
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import open_portrait
from expnet.render.reenactment import CROP_PIXELS, crop_frame, label_images, to_tensor
from expnet.render.refiner.region_refiner import RegionModel
from shared.inner_mouth import REAL, measure_bins
from shared.inner_mouth_flicker import flicker, steady_triples
from shared.inner_mouth_sheet import SHEET, save_sheet
from shared.opening_errors import opening_errors
from shared.piecewise_affine import PiecewiseAffine

Frames = list[NDArray[np.uint8]]
Scores = dict[str, float]

OURS, REFINED, STILL, AFFINE = "ours", "ours, refined", "first_frame", "piecewise_affine"
REPEATED = "real, tracked again"
"""The real frames in a slightly different crop: what two trackings of one video disagree by."""
SETTLING = 5
"""Frames at the start of a clip in which the tracker of a video still settles."""
_SHIFT = (0.02, -0.015, 1.06)
"""Shift right and down of that crop as a share of its side, and its side over the original one's."""
_MARGIN = 0.25
"""Margin on each side of a region's box, as a share of the box's larger side."""


def settled(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out the first frames of a clip, in which the tracker of a video still settles."""
    kept = valid.copy()
    kept[np.flatnonzero(valid)[:SETTLING]] = False
    return kept


def spread(valid: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """The first valid frame, and ``count`` others evenly spaced over the valid frames that follow."""
    seen = np.flatnonzero(valid)
    return seen[evenly_spaced_indices(len(seen), count + 1)]


def draw(
    track: Track, chosen: NDArray[np.int64], frames: Frames, model: MorphableModel, refiner: RegionModel | None
) -> dict[str, Frames]:
    """Render the chosen frames of a clip with every system, in its crop at 256 px; the first frame is the portrait."""
    crop = track.coefficients.crop
    assert crop is not None
    portrait = open_portrait(frames[0], model, max_side=None)
    coefficients = track.coefficients
    fit = coefficients[chosen[0] : chosen[0] + 1]
    lips = calibrate_lips(replace(portrait, fit=fit), model)
    asked = {OURS: None} if refiner is None else {OURS: None, REFINED: refiner}
    renderers = {
        name: MeshRenderer(portrait.image, fit, portrait.points, model, matte=portrait.matte, lips=lips, refiner=one)
        for name, one in asked.items()
    }
    rows = coefficients.with_(
        expression=coefficients.expression[chosen],
        rotation=coefficients.rotation[chosen],
        translation=coefficients.translation[chosen],
    )
    first = crop_frame(frames[0], crop)
    landmarks = (track.landmarks[chosen] - crop[:2]) * (CROP_PIXELS / crop[2]) + CROP_PIXELS / 2
    affine = PiecewiseAffine(first, landmarks[0])
    return {
        **{name: [crop_frame(frame, crop) for frame in renderer.render(rows)] for name, renderer in renderers.items()},
        AFFINE: [affine.warp(points) for points in landmarks],
        STILL: [first] * len(chosen),
    }


def boxes(landmarks: NDArray[np.floating], points: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Box around some of the landmarks (T, 68, 2) with a margin, in each frame."""
    for places in landmarks[:, list(points)]:
        low, high = places.min(axis=0), places.max(axis=0)
        margin = _MARGIN * (high - low).max()
        left, top = np.maximum(low - margin, 0).astype(int)
        right, bottom = np.ceil(high + margin).astype(int)
        yield np.s_[top:bottom, left:right]


def region_error(drawn: Frames, real: Frames, landmarks: NDArray[np.floating], points: Sequence[int]) -> float:
    """Mean absolute difference, in grey levels, in the box around some landmarks (T, 68, 2) of the real frames."""
    places = zip(drawn, real, boxes(landmarks, points), strict=True)
    return float(np.mean([np.abs(one[box].astype(float) - other[box]).mean() for one, other, box in places]))


def region_sharpness(drawn: Frames, real: Frames, landmarks: NDArray[np.floating], points: Sequence[int]) -> float:
    """Mean gradient magnitude in those boxes relative to the real frames; a blurred region is below 1."""
    pairs = zip(drawn, real, boxes(landmarks, points), strict=True)
    lengths = [[np.hypot(*np.gradient(one[box].mean(axis=-1))).mean() for one in pair] for *pair, box in pairs]
    ours, true = np.sum(lengths, axis=0)
    return float(ours / max(true, 1e-12))


def slope(got: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    """Least-squares slope of the measured values ``got`` on the true values ``given``."""
    centred = given - given.mean()
    return float(centred @ got / max(float(centred @ centred), 1e-12))


def tracked(frames: Frames) -> NDArray[np.float32]:
    """Track the 68 landmarks of every frame, (T, 68, 2), as in a still image: each frame until the points settle.

    Raises:
        DataError: No face is found in a frame.
    """
    track = open_tracker().track(frame for frame in frames for _ in range(SETTLING_PASSES))
    last = slice(SETTLING_PASSES - 1, None, SETTLING_PASSES)
    if not track.found[last].all():
        raise DataError(f"no face is found in {int((~track.found[last]).sum())} of the {len(frames)} crops")
    return track.landmarks[last]


def tracked_again(frames: Frames, crop: NDArray[np.floating]) -> NDArray[np.float32]:
    """Track the real frames in another crop, and return their landmarks (T, 68, 2) in pixels of the given one."""
    other = np.array([crop[0] + _SHIFT[0] * crop[2], crop[1] + _SHIFT[1] * crop[2], _SHIFT[2] * crop[2]])
    found = tracked([crop_frame(frame, other) for frame in frames])
    places = (found - CROP_PIXELS / 2) * (other[2] / CROP_PIXELS) + other[:2]
    return ((places - crop[:2]) * (CROP_PIXELS / crop[2]) + CROP_PIXELS / 2).astype(np.float32)


def score_points(found: NDArray[np.float32], given: NDArray[np.float32]) -> Scores:
    """Compare landmarks (T, 68, 2) with the real ones; the first frame is the portrait itself and is not scored."""
    points = torch.from_numpy(found)[1:], torch.from_numpy(given)[1:]
    got, true = (mouth_opening(one) for one in points)
    error = (got - true).abs() * interocular_distance(points[1].double())
    return {
        "landmark_distance": float(landmark_distance(*points, normalisation="pixels_256")),
        "landmark_distance_mouth": float(landmark_distance(*points, normalisation="pixels_256", region="mouth")),
        "mouth_opening_error": float(error.mean()),
        "mouth_opening_correlation": float(pearson(got, true, still=1e-4)),
        "mouth_opening_slope": slope(got.numpy(), true.numpy()),
    }


def score(
    drawn: Frames,
    found: NDArray[np.float32],
    real: Frames,
    given: NDArray[np.float32],
    perceptual: Callable[..., torch.Tensor] | None,
) -> Scores:
    """Compare one system's frames with the real ones; ``found`` and ``given`` are their landmarks (T, 68, 2)."""
    # The first frame is the portrait itself and is not scored.
    images = to_tensor(drawn[1:]), to_tensor(real[1:])
    scores = {
        "psnr": float(psnr(*images).mean()),
        "ssim": float(ssim(*images).mean()),
        "mouth_error": region_error(drawn[1:], real[1:], given[1:], range(MOUTH.start, MOUTH.stop)),
        "mouth_sharpness": region_sharpness(drawn[1:], real[1:], given[1:], range(MOUTH.start, MOUTH.stop)),
        "eye_error": region_error(drawn[1:], real[1:], given[1:], (*RIGHT_EYE, *LEFT_EYE)),
        **score_points(found, given),
    }
    if perceptual is not None:
        scores["lpips"] = float(perceptual(*images).mean())
    return scores


def examine(
    track: Track,
    model: MorphableModel,
    count: int,
    perceptual: Callable[..., torch.Tensor] | None,
    pictures: Path,
    refiner: RegionModel | None = None,
) -> dict[str, dict | None]:
    """Score every system on one clip: the scores, and what shows between the lips at each opening, and its flicker.

    Saved in ``pictures`` are the frame in which the real mouth is open widest, and the mouths at each opening.
    """
    chosen = spread(settled(track.valid), count)
    frames = list(read_frames(track, chosen).values())
    crop = track.coefficients.crop
    if crop is None:
        raise DataError("the clip has no crop, so its frames cannot be compared")
    real = [crop_frame(frame, crop) for frame in frames]
    systems = draw(track, chosen, frames, model, refiner)
    widest = int(mouth_opening(torch.from_numpy(track.landmarks[chosen])).argmax())
    tiles = [("portrait", real[0]), ("real", real[widest])]
    tiles += [(name, frames[widest]) for name, frames in systems.items() if name != STILL]
    Image.fromarray(label_images(tiles)).save(pictures / f"{track.clip_id}.png")
    given = tracked(real)
    found = {name: tracked(drawn) for name, drawn in systems.items() if name != STILL}
    found[STILL] = np.repeat(tracked(systems[STILL][:1]), len(chosen), axis=0)
    scores = {name: score(drawn, found[name], real, given, perceptual) for name, drawn in systems.items()}
    again = tracked_again(frames, crop)
    scores[REPEATED] = score_points(again, given)
    # The first frame is the portrait itself.
    shown = {REAL: (real[1:], given[1:])} | {
        name: (drawn[1:], found[name][1:]) for name, drawn in systems.items() if name != STILL
    }
    rows = [(name, *pair) for name, pair in shown.items() if name != AFFINE]
    save_sheet(pictures / f"{track.clip_id}{SHEET}", track.clip_id, rows)
    compared = {name: points for name, points in found.items() if name != STILL} | {REPEATED: again}
    openings = {name: opening_errors(points[1:], given[1:]) for name, points in compared.items()}
    return {
        "systems": scores,
        "openings": openings,
        "inner_mouth": {name: measure_bins(*pair) for name, pair in shown.items()},
        "flicker": _flicker(track, int(chosen[0]), model, refiner),
    }


def _flicker(track: Track, first: int, model: MorphableModel, refiner: RegionModel | None) -> Scores | None:
    """Flicker between the lips of the real frames and of each rendered system; None without a steady, open mouth.

    Args:
        track: The clip.
        first: The frame that is the portrait.
        model: Its face model.
        refiner: The refiner, if there is one.
    """
    triples = steady_triples(track.landmarks, settled(track.valid))
    if not len(triples):
        return None
    crop = track.coefficients.crop
    assert crop is not None
    chosen = np.concatenate([[first], triples.ravel()])
    order, back = np.unique(chosen, return_inverse=True)
    read = list(read_frames(track, order).values())
    frames = [read[place] for place in back]
    systems = draw(track, chosen, frames, model, refiner)
    shown = {REAL: [crop_frame(frame, crop) for frame in frames]}
    shown |= {name: systems[name] for name in (OURS, REFINED) if name in systems}
    return {name: flicker(drawn[1:], tracked(drawn)[1:]) for name, drawn in shown.items()}
