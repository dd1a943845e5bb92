"""How a long sampled motion moves where its windows join, and whether it drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.coefficients import split_pose
from expnet.face.measures import eye_corner_distance, signed_mouth_opening
from expnet.face.morphable import builtin_face_model
from expnet.metrics.functional.statistics import Interval, bootstrap_interval
from expnet.models.flow_matching.motion import Motion
from expnet.models.flow_matching.sampler import LOOKAHEAD, WINDOW

AROUND = 2
"""Frames before and after the fade that belong to a join."""
DRIFTS = (
    ("opening", "opening, % of the eye distance", 2),
    ("opening_std", "its deviation, %", 2),
    ("mean_face", "mean face from the first, %", 2),
    ("angles", "head angles, mean size in degrees", 2),
    ("angles_std", "their deviation, degrees", 2),
    ("lids", "lid closure", 3),
)
"""Key, title and number of decimals of the columns that tell of drift."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class JoinRow:
    """Motion at joins, and halfway between them, over that of all other frames.

    Attributes:
        part: "landmarks", "head" or "lids".
        change: "velocity" or "acceleration".
        at_joins: The ratio at the joins, with its interval over joins.
        halfway: The same halfway between the joins.
    """

    part: str
    change: str
    at_joins: Interval
    halfway: Interval


def joins_of(frames: int, previous: int) -> list[int]:
    """Return where the windows of a motion begin to draw frames of their own, except for the first.

    Args:
        frames: Length of the motion.
        previous: Known frames at the beginning of a window.
    """
    return list(range(WINDOW - LOOKAHEAD, frames - LOOKAHEAD, WINDOW - LOOKAHEAD - previous))


def join_rows(motion: Motion, joins: Sequence[int]) -> list[JoinRow]:
    """Compare the joins of the motions (S, T, ...) of some speech with the rest of them."""
    rows = []
    for part, values in _parts(motion).items():
        for order, change in ((1, "velocity"), (2, "acceleration")):
            sizes = np.linalg.norm(np.diff(values, n=order, axis=1), axis=-1)  # (S, T - order)
            rows.append(JoinRow(part, change, *_ratios(sizes, joins, order)))
    return rows


def _ratios(sizes: Array, joins: Sequence[int], order: int) -> tuple[Interval, Interval]:
    """Return the ratios at the joins and halfway between them."""
    # The change that ends at frame i has number i - order.
    around = np.arange(-AROUND - order, LOOKAHEAD + AROUND)
    places = np.stack([join + around for join in joins])  # (J, N)
    places = places[places[:, -1] < sizes.shape[1]]
    elsewhere = np.ones(sizes.shape[1], bool)
    elsewhere[places] = False
    base = sizes[:, elsewhere].mean()
    half = (WINDOW - LOOKAHEAD) // 2
    at_joins, halfway = (sizes[:, places - offset].mean(axis=-1).ravel() / base for offset in (0, half))
    return bootstrap_interval(at_joins), bootstrap_interval(halfway)


def drift(motion: Motion, frames: int) -> list[dict[str, float]]:
    """Return the values of `DRIFTS` for each whole part of this many frames, averaged over the motions (S, T, ...)."""
    parts = _parts(motion)
    points = torch.from_numpy(parts["landmarks"]).unflatten(-1, (-1, 3))  # (S, T, 68, 3)
    opening, eyes = 100 * signed_mouth_opening(points).numpy(), eye_corner_distance(points).mean().item()
    angles = np.degrees(split_pose(torch.from_numpy(parts["head"]))[0].numpy())
    rows, first = [], points[:, :frames].mean(dim=1)
    for begin in range(0, points.shape[1] - frames + 1, frames):
        part = slice(begin, begin + frames)
        moved = (points[:, part].mean(dim=1) - first).norm(dim=-1).mean().item()
        rows.append(
            {
                "opening": float(opening[:, part].mean()),
                "opening_std": float(opening[:, part].std(axis=1).mean()),
                "mean_face": 100 * moved / eyes,
                "angles": float(np.abs(angles[:, part].mean(axis=1)).mean()),
                "angles_std": float(angles[:, part].std(axis=1).mean()),
                "lids": float(parts["lids"][:, part].mean()),
            }
        )
    return rows


def _parts(motion: Motion) -> dict[str, Array]:
    """Return the landmarks (S, T, 204), the head (S, T, 6) and the closure of the lids (S, T, 1)."""
    assert motion.expression is not None
    assert motion.pose is not None
    assert motion.lids is not None
    face = builtin_face_model()
    points = face.landmarks(motion.expression.new_zeros(*motion.pose.shape[:2], face.identity_size), motion.expression)
    parts = {"landmarks": points.flatten(2), "head": motion.pose, "lids": motion.lids[..., None]}
    return {name: values.double().numpy() for name, values in parts.items()}
