"""What shows between the lips: brightness and colour of the inner mouth at a given opening, real and rendered.

Teeth, tongue and the inside of the lower lip make a real mouth *brighter* the wider it opens, and a painted mouth can
get this wrong while every distance between pixels or landmarks stays small. Frames are therefore compared in bins of
their own opening, each against the brightness of its own cheeks, and not frame by frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from expnet.io.markdown import markdown_table
from expnet.metrics.functional.mouth import mouth_opening

Frames = Sequence[NDArray[np.uint8]]
Landmarks = NDArray[np.floating]
Bins = list[dict[str, float] | None]

BINS = ((0.02, 0.05), (0.05, 0.09), (0.09, 0.14), (0.14, 0.30))
"""Openings over the distance of the outer eye corners."""
MEASURES = {
    "upper": "upper third",
    "middle": "middle third",
    "lower": "lower third",
    "bright": "bright pixels",
    "redness": "red over the cheeks' red",
    "gradient": "gradient, % of the cheeks per px",
}
REAL = "real"
FEWEST = 2
"""Frames of a clip below which a bin is left out."""
_THIRDS = ("upper", "middle", "lower")
_UPPER, _LOWER = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)
_BRIGHT = 0.8
_COLUMNS, _ROWS = 32, 12
_EDGES = 2
"""Rows at the upper and lower contour that are left out of the gradient, which the edge of the lips would dominate."""
_CHEEK = 4
"""Half the side of the patch of cheek, in pixels of a face of 256."""


@dataclass(frozen=True)
class InnerLevels:
    """The inner lips in 32 columns from corner to corner, each at 12 heights from the upper to the lower contour.

    Attributes:
        level: (12, 32) brightness over the cheeks'.
        colour: (12, 32, 3) colours.
        gradient: (12, 32) length of the gradient of the brightness over the cheeks' brightness, per pixel.
        weight: (12, 32) height of each column, which it counts in proportion to.
        cheek: (3,) colour of the cheeks.
    """

    level: NDArray[np.float64]
    colour: NDArray[np.float64]
    gradient: NDArray[np.float64]
    weight: NDArray[np.float64]
    cheek: NDArray[np.float64]


def inner_levels(frame: NDArray[np.uint8], landmarks: Landmarks) -> InnerLevels:
    """Sample what shows between the lips of one frame.

    Args:
        frame: (H, W, 3) uint8.
        landmarks: (68, 2) iBUG landmarks in its pixels.
    """
    upper, lower = landmarks[list(_UPPER)], landmarks[list(_LOWER)]
    along = (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    ends = landmarks[60, 0], landmarks[64, 0]
    x = ends[0] + along * (ends[1] - ends[0])
    top, bottom = (_height_at(x, contour) for contour in (upper, lower))
    share = (np.arange(_ROWS) + 0.5) / _ROWS
    y = top + share[:, None] * (bottom - top)  # (12, 32)
    places = np.stack([y, np.broadcast_to(x, y.shape)])
    colour = np.stack([map_coordinates(frame[..., c].astype(float), places, order=1) for c in range(3)], axis=-1)
    cheek = cheek_colour(frame, landmarks)
    steps = np.hypot(*np.gradient(frame.mean(axis=-1)))
    brightness = max(cheek.mean(), 1.0)
    return InnerLevels(
        level=colour.mean(axis=-1) / brightness,
        colour=colour,
        gradient=map_coordinates(steps, places, order=1) / brightness,
        weight=np.broadcast_to(np.maximum(bottom - top, 0.0) + 1e-6, y.shape),
        cheek=cheek,
    )


def inner_mouth(frame: NDArray[np.uint8], landmarks: Landmarks) -> dict[str, float]:
    """Measure one frame.

    Args:
        frame: (H, W, 3) uint8.
        landmarks: (68, 2) iBUG landmarks in its pixels.

    Returns:
        By the keys of `MEASURES`: brightness over the cheeks' in each third from top to bottom; share of samples
        brighter than 0.8 of the cheeks; the share of red in the colour over its share in the cheeks'; and the length
        of the gradient away from the lips' edges, in % of the cheeks' brightness per pixel, which a blur lowers.
    """
    seen = inner_levels(frame, landmarks)

    def average(values: NDArray[np.float64], rows: slice = slice(None)) -> float:
        return float(np.average(values[rows], weights=seen.weight[rows]))

    third = _ROWS // 3
    thirds = {key: average(seen.level, np.s_[k * third : (k + 1) * third]) for k, key in enumerate(_THIRDS)}
    red, green, blue = (average(seen.colour[..., c]) for c in range(3))
    return {
        **thirds,
        "bright": average((seen.level > _BRIGHT).astype(float)),
        "redness": red / max(red + green + blue, 1.0) / (seen.cheek[0] / max(seen.cheek.sum(), 1.0)),
        "gradient": 100.0 * average(seen.gradient, np.s_[_EDGES:-_EDGES]),
    }


def _height_at(x: NDArray[np.float64], contour: Landmarks) -> NDArray[np.float64]:
    order = np.argsort(contour[:, 0])
    return np.interp(x, contour[order, 0], contour[order, 1])


def cheek_colour(frame: NDArray[np.uint8], landmarks: Landmarks) -> NDArray[np.float64]:
    """Mean colour (3,) of the two cheeks, halfway between the lower lid and the corner of the mouth."""
    lids = landmarks[[40, 41]].mean(axis=0), landmarks[[46, 47]].mean(axis=0)
    centres = [0.5 * (lid + corner) for lid, corner in zip(lids, landmarks[[48, 54]], strict=True)]
    patches = []
    for column, row in np.round(centres).astype(int):
        top, left = np.clip((row - _CHEEK, column - _CHEEK), 0, np.array(frame.shape[:2]) - 2 * _CHEEK - 1)
        patches.append(frame[top : top + 2 * _CHEEK + 1, left : left + 2 * _CHEEK + 1].reshape(-1, 3).mean(axis=0))
    return np.mean(patches, axis=0)


def frames_in_bins(landmarks: Landmarks) -> list[NDArray[np.int64]]:
    """Indices of the frames in each of the `BINS`, ordered by their opening, from landmarks (T, 68, 2)."""
    openings = mouth_opening(torch.from_numpy(np.asarray(landmarks))).numpy()
    order = np.argsort(openings, kind="stable")
    return [order[(openings[order] >= low) & (openings[order] < high)] for low, high in BINS]


def measure_bins(frames: Frames, landmarks: Landmarks) -> Bins:
    """Mean of each measure over a clip's frames in each bin; None where fewer than `FEWEST` frames fall in it."""
    bins: Bins = []
    for chosen in frames_in_bins(landmarks):
        rows = [inner_mouth(frames[index], landmarks[index]) for index in chosen]
        bins.append(
            {key: float(np.mean([row[key] for row in rows])) for key in MEASURES} if len(rows) >= FEWEST else None
        )
    return bins


def inner_mouth_table(rows: Sequence[dict], system: str) -> str:
    """Markdown table: real / rendered medians over people, bin by bin, over the clips that have both."""
    table_rows = []
    for index, (low, high) in enumerate(BINS):
        pairs: dict[str, list[tuple[dict, dict]]] = {}
        for row in rows:
            real, drawn = (row["inner_mouth"][name][index] for name in (REAL, system))
            if real is not None and drawn is not None:
                pairs.setdefault(row["speaker"], []).append((real, drawn))
        cells = [f"{low:.2f}-{high:.2f}", str(len(pairs))]
        for key in MEASURES:
            people = [np.mean([[real[key], drawn[key]] for real, drawn in clips], axis=0) for clips in pairs.values()]
            cells.append("{:.2f} / {:.2f}".format(*np.median(people, axis=0)) if people else "")
        table_rows.append(cells)
    return markdown_table(["opening", "people", *MEASURES.values()], table_rows)
