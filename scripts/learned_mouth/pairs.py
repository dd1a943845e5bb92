"""Pairs of a painted mouth and what really shows between the lips, from self-reenactment of tracked clips.

The rendered lips are a millimetre or so away from the real ones. What shows between the real lips is therefore moved
between the rendered lips, column by column, so that the two differ in teeth and tongue and not in the place of a lip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from expnet.data.even_spacing import evenly_spaced_indices
from expnet.data.source_frames import read_frames
from expnet.data.store.track import Track
from expnet.errors import DataError
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import open_tracker
from expnet.metrics.functional.mouth import mouth_opening
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.refiner.region_pixels import cut_region
from expnet.render.refiner.region_refiner import RegionCrop
from expnet.render.refiner.training_pairs import PairSettings, RegionRecorder

Array = NDArray[np.float64]

SIZE = 64
"""Side of the region in pixels."""
KIND = "inner_mouth"
_FRAMES, _PORTRAITS, _DRIVEN = 40, 2, 24
_SIDE, _MARGIN = 288.0, 1.25
"""Side of a clip's crop in pixels, and that of the image around it, over it."""
_OPEN = 0.015
"""Opening over the eye distance above which a frame is used."""
_LOWEST = 1.0
"""Mean height of the opening, in pixels of the region, above which a pair is used."""
_UNLIKE = (0.55, 1.9)
"""Ratios of the heights of the real and the rendered opening between which a pair is used."""
_DARK = 25.0
"""Mean grey level below which a portrait or a frame is a fade, and is not used."""
_EDGES = np.array([UPPER_ROWS[0], LOWER_ROWS[0]])


@dataclass(frozen=True, eq=False)
class MouthPairs:
    """Pairs of one clip.

    Attributes:
        inputs: (N, 10, S, S) uint8, see `expnet.render.refiner.region_refiner.RegionCrop`.
        targets: (N, 3, S, S) uint8 real colours, moved between the rendered lips.
        heights: (N,) mean height of the rendered opening in pixels of the region.
    """

    inputs: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    heights: NDArray[np.float32]


def make_pairs(track: Track, model: MorphableModel) -> MouthPairs:
    """Render pairs from one clip.

    Raises:
        DataError: The video is missing, has no crop, or gives no pair.
    """
    crop = track.coefficients.crop
    if crop is None or crop.ndim != 1:
        raise DataError(f"{track.clip_id} has no crop of its own")
    seen = np.flatnonzero(track.valid)
    chosen = seen[evenly_spaced_indices(len(seen), _FRAMES)]
    frames = [around(frame, crop) for frame in read_frames(track, chosen).values()]
    points = open_tracker().track(frames)
    middle = frames[0].shape[0] / 2
    coefficients = track.coefficients.with_(
        expression=track.coefficients.expression[chosen],
        rotation=track.coefficients.rotation[chosen],
        translation=track.coefficients.translation[chosen],
        crop=np.array([middle, middle, 2 * middle / _MARGIN]),
    )
    usable = np.flatnonzero(points.found & np.array([frame.mean() > _DARK for frame in frames]))
    opened = usable[mouth_opening(torch.from_numpy(points.landmarks)).numpy()[usable] > _OPEN]
    found: list[tuple[RegionCrop, NDArray[np.uint8]]] = []
    for portrait in usable[evenly_spaced_indices(len(usable), _PORTRAITS)]:
        recorder = RegionRecorder(PairSettings((KIND,), SIZE, _PORTRAITS, _DRIVEN))
        fit = coefficients[int(portrait) : int(portrait) + 1]
        renderer = MeshRenderer(frames[portrait], fit, points.points[portrait], model, refiner=recorder)
        others = opened[opened != portrait]
        others = others[evenly_spaced_indices(len(others), _DRIVEN)]
        rows = coefficients.with_(
            expression=coefficients.expression[others],
            rotation=coefficients.rotation[others],
            translation=coefficients.translation[others],
        )
        for number, _ in zip(others.tolist(), renderer.render(rows), strict=True):
            crop_now = recorder.crops[0]
            target = aligned(frames[number], points.points[number], crop_now)
            if target is not None:
                found.append((crop_now, target))
    if not found:
        raise DataError(f"{track.clip_id} has no frame with parted lips")
    return MouthPairs(
        np.stack([crop_now.inputs for crop_now, _ in found]),
        np.stack([target for _, target in found]),
        np.array([height(crop_now.edges * SIZE) for crop_now, _ in found], np.float32),
    )


def around(frame: NDArray[np.uint8], crop: Array) -> NDArray[np.uint8]:
    """Cut the surroundings of a crop (centre x, centre y, side), at most 360 px wide; edges are repeated beyond it."""
    side = crop[2] * _MARGIN
    left, top = crop[0] - side / 2, crop[1] - side / 2
    rows, columns = frame.shape[:2]
    beyond = int(np.ceil(max(0.0, -left, -top, left + side - columns, top + side - rows)))
    padded = np.pad(frame, ((beyond, beyond), (beyond, beyond), (0, 0)), mode="edge")
    pixels = round(min(_SIDE, crop[2]) * _MARGIN)
    box = (left + beyond, top + beyond, left + beyond + side, top + beyond + side)
    return np.asarray(Image.fromarray(padded).resize((pixels, pixels), Image.Resampling.BICUBIC, box=box))


def aligned(frame: NDArray[np.uint8], points: NDArray, crop: RegionCrop) -> NDArray[np.uint8] | None:
    """Move what shows between the real lips of a frame between the rendered ones.

    Args:
        frame: (H, W, 3) uint8 real frame.
        points: (478, 3) its tracked points in pixels.
        crop: The rendered region.

    Returns:
        (3, S, S) uint8, or None where the two openings differ too much or are too low.
    """
    where = crop.placement
    real = cut_region(frame, where.middle, where.across, where.down, SIZE).astype(np.float64)
    drawn, tracked = crop.edges * SIZE, where.inside(points[_EDGES, :2].astype(np.float64)) * SIZE  # (2, 11, 2)
    high = height(drawn)
    if high < _LOWEST or not _UNLIKE[0] < height(tracked) / high < _UNLIKE[1]:
        return None
    x = np.arange(SIZE) + 0.5
    (low, far), (low_real, far_real) = ((edges[..., 0].min(), edges[..., 0].max()) for edges in (drawn, tracked))
    x_real = low_real + np.clip((x - low) / (far - low), 0.0, 1.0) * (far_real - low_real)
    (top, bottom), (top_real, bottom_real) = heights_at(drawn, x), heights_at(tracked, x_real)
    y = x[:, None]
    share = (y - top) / np.maximum(bottom - top, 1e-3)
    inside = top_real + share * (bottom_real - top_real)
    y_real = np.where(share < 0, top_real + y - top, np.where(share > 1, bottom_real + y - bottom, inside))
    places = np.stack([y_real, np.broadcast_to(x_real, y_real.shape)]) - 0.5
    moved = np.stack([map_coordinates(real[..., c], places, order=1, mode="nearest") for c in range(3)])
    return np.clip(moved + 0.5, 0, 255).astype(np.uint8)


def heights_at(edges: Array, x: Array) -> Array:
    """Heights (2, M) of two rows of points (2, N, 2) at columns (M,)."""
    ordered = [edge[np.argsort(edge[:, 0])] for edge in edges]
    return np.stack([np.interp(x, edge[:, 0], edge[:, 1]) for edge in ordered])


def height(edges: Array) -> float:
    """Mean height of an opening (2, N, 2) over the pixels of its region."""
    upper, lower = heights_at(edges, np.arange(SIZE) + 0.5)
    return float(np.maximum(lower - upper, 0.0).mean())
