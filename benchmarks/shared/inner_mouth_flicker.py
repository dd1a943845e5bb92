"""How much does the inside of a mouth flicker while its opening hardly changes?

Consecutive frames of nearly equal opening show nearly the same inside, so what changes there from one frame to the next
and back is flicker: grain, compression and the tracker's noise in real frames, and anything that jumps in rendered
ones. The patch between the lips is sampled where the lips are in each frame, so that a moving head is no flicker.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.data.even_spacing import evenly_spaced_indices
from expnet.metrics.functional.mouth import mouth_opening
from shared.inner_mouth import REAL, Frames, Landmarks, inner_levels

LEAST_OPENING, NEARLY_EQUAL = 0.04, 0.01
"""Opening over the distance of the outer eye corners from which frames count, and how far three may differ in it."""
TRIPLES = 6
"""Largest number of triples of frames per clip."""


def steady_triples(landmarks: Landmarks, valid: NDArray[np.bool_], count: int = TRIPLES) -> NDArray[np.int64]:
    """Choose triples of consecutive frames in which the mouth is open and hardly moves.

    Args:
        landmarks: (T, 68, 2) landmarks of a clip.
        valid: (T,) frames that may be used.
        count: Largest number of triples.

    Returns:
        (N, 3) indices, evenly spaced over those that there are; triples do not overlap.
    """
    openings = mouth_opening(torch.from_numpy(np.asarray(landmarks))).numpy()
    windows = np.arange(max(len(openings) - 2, 0))[:, None] + np.arange(3)  # (T - 2, 3)
    steady = valid[windows].all(axis=1) & (openings[windows].min(axis=1) >= LEAST_OPENING)
    steady &= np.ptp(openings[windows], axis=1) < NEARLY_EQUAL
    apart: list[int] = []
    for first in np.flatnonzero(steady):
        if not apart or first >= apart[-1] + 3:
            apart.append(int(first))
    starts = np.array(apart, np.int64)
    chosen = starts[evenly_spaced_indices(len(starts), count)] if len(starts) > count else starts
    return chosen[:, None] + np.arange(3)


def flicker(frames: Frames, landmarks: Landmarks) -> float:
    """Mean absolute second difference over time of the brightness between the lips, in % of the cheeks' brightness.

    ``mean |b[t - 1] - 2 b[t] + b[t + 1]|`` over places and triples; white noise of standard deviation s gives 1.95 s.

    Args:
        frames: Triples of consecutive frames, one after another.
        landmarks: (3 N, 68, 2) their landmarks.
    """
    levels = np.stack([inner_levels(frame, points).level for frame, points in zip(frames, landmarks, strict=True)])
    first, middle, last = levels.reshape(-1, 3, *levels.shape[1:]).swapaxes(0, 1)
    return 100.0 * float(np.abs(first - 2.0 * middle + last).mean())


def flicker_line(rows: Sequence[dict], system: str) -> str:
    """One sentence with the medians over people of real and rendered frames, and of their ratio."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["flicker"] is not None:
            pairs.setdefault(row["speaker"], []).append((row["flicker"][REAL], row["flicker"][system]))
    if not pairs:
        return "No clip holds its mouth open long enough to measure flicker."
    people = np.array([np.mean(clips, axis=0) for clips in pairs.values()])
    real, drawn = np.median(people, axis=0)
    ratio = np.median(people[:, 1] / np.maximum(people[:, 0], 1e-9))
    return (
        f"Flicker between the lips at nearly equal openings, % of the cheeks' brightness, medians over {len(pairs)} "
        f"people: {real:.2f} real, {drawn:.2f} {system}; ratio {ratio:.2f}."
    )
