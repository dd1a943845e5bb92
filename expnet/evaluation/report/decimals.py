"""How many decimals a metric is printed with: a fixed number for each, whatever the values in its column."""

import math
from collections.abc import Iterable

from expnet.evaluation.report.results import MetricInfo

_BY_UNIT = {
    "dB": 2,
    "index": 4,
    "px at 256": 2,
    "squared feature distance": 2,
    "frames": 1,
    "per minute": 1,
    "eye distances": 4,
    "eye distances per frame": 5,
}
"""Decimals by unit: those that papers print, and enough to tell systems apart near the best possible value."""
_USUAL = 3


def metric_decimals(info: MetricInfo) -> int:
    """Return the decimals of a metric; no system's value takes digits from another's."""
    return _BY_UNIT.get(info.unit, _USUAL)


def three_digits(values: Iterable[float]) -> int:
    """Return the decimals that give the largest of some values three significant digits."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest >= 100:
        return 0
    return 1 if largest >= 10 or largest == 0 else 2 if largest >= 1 else 3
