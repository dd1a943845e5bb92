"""How long the first frame's expression is retained: does a smile last to the end, and do the lips still move?

Distances are measured on the face: coefficients are weighted by ``metric`` (E, E), the displacement that a step in them
causes (`MorphableModel.expression_metric`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from expnet.metrics.functional import mouth_opening

LATE_FRAMES = 50
"""Frames at the end of the speech, two seconds, over which single phonemes average out."""


def late_mean(expression: Tensor) -> Tensor:
    """Mean of (T, E) over the last two seconds, or over everything that is shorter."""
    return expression[-LATE_FRAMES:].mean(dim=0)


def share_along(change: Tensor, direction: Tensor, metric: Tensor) -> float:
    r"""Share of one change of the face that is contained in another.

    .. math:: \frac{d^\top M c}{d^\top M d}

    Let d be a mood (the mean smiling face minus the mean neutral face) and c the difference at the end of two
    regressions from the same audio. The result is then the share of the mood that is left: the speech moves both alike
    and cancels.

    Args:
        change: (E,) Change c.
        direction: (E,) Direction d.
        metric: (E, E) Metric M.

    Returns:
        1 where c contains all of d and 0 where it contains none; NaN for a direction of length zero.
    """
    weighed = metric.double() @ direction.double()
    size = float(direction.double() @ weighed)
    return float(change.double() @ weighed) / size if size > 0 else math.nan


def nearest_face(expression: Tensor, faces: Mapping[str, Tensor], metric: Tensor) -> str:
    """Name of the face (E,) nearest to an expression (E,)."""
    weigh = metric.double()
    away = {name: (expression - face).double() for name, face in faces.items()}
    return min(away, key=lambda name: float(away[name] @ weigh @ away[name]))


def opening_range(landmarks: Tensor) -> float:
    """Range of the mouth opening: its 95th minus its 5th percentile, in eye distances.

    Args:
        landmarks: (T, 68, 3) Landmarks.
    """
    low, high = mouth_opening(landmarks).quantile(torch.tensor([0.05, 0.95], dtype=torch.float64))
    return float(high - low)
