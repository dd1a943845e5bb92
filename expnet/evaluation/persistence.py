"""What becomes of the first frame's style: is the smile still there when the speech ends, and do the lips still move?

Two regressions of one sound are compared, that start from two faces. All distances are on the face: the coefficients
are weighed by ``metric`` (E, E), what a step in them moves (`MorphableModel.expression_metric`).
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


def style_kept(styled: Tensor, neutral: Tensor, first_styled: Tensor, first_neutral: Tensor, metric: Tensor) -> float:
    r"""Share of the difference between two first frames that is still there when the speech ends.

    .. math:: \frac{d^\top M (\bar s - \bar n)}{d^\top M d}, \qquad d = s_0 - n_0

    with the bars the means of the last two seconds. Sounds move both faces alike and cancel.

    Args:
        styled: (T, E), started from the styled face.
        neutral: (T, E), the same sound started from the neutral face.
        first_styled: (E,) the styled face.
        first_neutral: (E,) the neutral face.
        metric: (E, E).

    Returns:
        1 where the style stays as it was, 0 where nothing is left of it; NaN for two faces that are the same.
    """
    difference = (first_styled - first_neutral).double()
    left = (late_mean(styled) - late_mean(neutral)).double()
    weighed = metric.double() @ difference
    size = float(difference @ weighed)
    return float(left @ weighed) / size if size > 0 else math.nan


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
