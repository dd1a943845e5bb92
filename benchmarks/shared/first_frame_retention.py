"""What becomes of the first frame's style: is the smile still there when the speech ends, and do the lips still move?

All distances are on the face: coefficients are weighed by ``metric`` (E, E), what a step in them moves
(`MorphableModel.expression_metric`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from expnet.metrics.functional import mouth_opening

LATE_FRAMES = 50
"""The end of the speech: its last two seconds, so that single sounds average out."""


def late_mean(expression: Tensor) -> Tensor:
    """Mean of the last two seconds of (T, E), or of all where there are fewer."""
    return expression[-LATE_FRAMES:].mean(dim=0)


def share_along(change: Tensor, direction: Tensor, metric: Tensor) -> float:
    r"""How much of one change of the face is in another.

    .. math:: \frac{d^\top M c}{d^\top M d}

    With d a mood (the mean smiling face less the mean neutral one) and c what two regressions of one sound still differ
    by at the end, it is the share of the mood that is left: sounds move both alike and cancel.

    Args:
        change: c, (E,).
        direction: d, (E,).
        metric: M, (E, E).

    Returns:
        1 where all of d is in c, 0 where nothing is; NaN for a direction of no length.
    """
    weighed = metric.double() @ direction.double()
    size = float(direction.double() @ weighed)
    return float(change.double() @ weighed) / size if size > 0 else math.nan


def nearest_face(expression: Tensor, faces: Mapping[str, Tensor], metric: Tensor) -> str:
    """Name of the face (E,) that an expression (E,) is nearest to."""
    weigh = metric.double()
    away = {name: (expression - face).double() for name, face in faces.items()}
    return min(away, key=lambda name: float(away[name] @ weigh @ away[name]))


def opening_range(landmarks: Tensor) -> float:
    """How far the mouth opens: the 95th less the 5th percentile of its opening, in eye distances.

    Args:
        landmarks: (T, 68, 3).
    """
    low, high = mouth_opening(landmarks).quantile(torch.tensor([0.05, 0.95], dtype=torch.float64))
    return float(high - low)
