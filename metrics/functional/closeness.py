r"""One score from many metrics whose aim is the value of the real clips: THEval's, and expnet's beside it.

THEval (Newbyl/THEval ``theval/scoring.py``, arXiv 2511.04520, Eq. 12) averages eight closenesses

.. math:: S = \frac{1}{8} \sum_{m = 1}^{8} \left( 1 - \frac{|x_m - r_m|}{|r_m|} \right)

with the value x of a system and r of the real clips. A mean lets good parts pay for a bad one, and a part above the
real value can fall below 0. expnet's score is the geometric mean of ratios instead,

.. math:: C = \prod_{m = 1}^{M} \left( \frac{\min(x_m, r_m)}{\max(x_m, r_m)} \right)^{1 / M}

which treats half and twice the real value alike, is 0 as soon as one part is 0, and 1 for the real clips.
"""

import math
from collections.abc import Mapping, Sequence

THEVAL_PARTS = (
    "global_aesthetics",
    "mouth_quality",
    "face_quality",
    "lip_dynamics",
    "head_motion_dynamics",
    "eyebrow_dynamics",
    "silent_lip_stability",
    "lip_sync",
)
"""The eight metrics of THEval; its score has no meaning without any of them."""


def relative_closeness(value: float, real: float) -> float:
    """Return one minus the relative distance to the real value, THEval's closeness: at most 1, negative far above it.

    Raises:
        ValueError: The real value is 0.

    Example:
        >>> relative_closeness(1.5, 1.0), relative_closeness(0.5, 1.0), relative_closeness(3.0, 1.0)
        (0.5, 0.5, -1.0)
    """
    if abs(real) <= 1e-9:
        raise ValueError(f"the real value must not be 0, got {real}")
    return 1.0 - abs(value - real) / abs(real)


def ratio_closeness(value: float, real: float) -> float:
    """Return the smaller over the larger of both values, in [0, 1]; 0 if the value is 0 or has the other sign.

    Raises:
        ValueError: The real value is 0.

    Example:
        >>> ratio_closeness(2.0, 1.0), ratio_closeness(0.5, 1.0), ratio_closeness(-0.5, 1.0)
        (0.5, 0.5, 0.0)
    """
    if abs(real) <= 1e-9:
        raise ValueError(f"the real value must not be 0, got {real}")
    share = value / real
    return 0.0 if share <= 0 else min(share, 1.0 / share)


def theval_score(values: Mapping[str, float], real: Mapping[str, float]) -> float:
    """Return THEval's final score, the mean of eight closenesses.

    Args:
        values: A system's metrics by the names of `THEVAL_PARTS`.
        real: Those of the real clips.

    Returns:
        At most 1, higher is better.

    Raises:
        ValueError: A part is missing or not finite: a mean of the others is not this score.

    Example:
        >>> parts = dict.fromkeys(THEVAL_PARTS, 2.0)
        >>> theval_score({**parts, "lip_sync": 1.0}, parts)
        0.9375
    """
    _check_complete(values, real, THEVAL_PARTS)
    return math.fsum(relative_closeness(values[part], real[part]) for part in THEVAL_PARTS) / len(THEVAL_PARTS)


def closeness_score(values: Mapping[str, float], real: Mapping[str, float], parts: Sequence[str]) -> float:
    """Return the geometric mean of the ratio closenesses of some metrics, expnet's score.

    Args:
        values: A system's metrics by name.
        real: Those of the real clips.
        parts: The names of the metrics that enter.

    Returns:
        In [0, 1], higher is better.

    Raises:
        ValueError: A part is missing or not finite.

    Example:
        >>> closeness_score({"a": 4.0, "b": 1.0}, {"a": 1.0, "b": 1.0}, ("a", "b"))
        0.5
    """
    _check_complete(values, real, parts)
    return math.prod(ratio_closeness(values[part], real[part]) for part in parts) ** (1.0 / len(parts))


def _check_complete(values: Mapping[str, float], real: Mapping[str, float], parts: Sequence[str]) -> None:
    missing = [part for part in parts if not all(math.isfinite(side.get(part, math.nan)) for side in (values, real))]
    if missing:
        raise ValueError(f"the score needs every part; missing or not finite: {', '.join(missing)}")
