"""Bootstrap confidence intervals over clips or speakers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
"""Number of bootstrap resamples."""


@dataclass(frozen=True)
class Interval:
    """A weighted mean with its percentile-bootstrap interval.

    Attributes:
        mean: Weighted mean of the values that are not NaN; NaN if there is none.
        low: Lower end of the interval; None with fewer than two independent units to resample.
        high: Upper end of the interval; None with fewer than two independent units.
        count: Number of values in the mean.
        units: Number of independent units, clips or groups, that were resampled.
    """

    mean: float
    low: float | None
    high: float | None
    count: int
    units: int


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.float64],
    *,
    weights: Sequence[float] | NDArray[np.float64] | None = None,
    groups: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the weighted mean and its percentile-bootstrap interval, deterministic for a seed.

    Clips of one speaker are correlated. With the speakers as ``groups``, speakers are resampled instead of clips. This
    is the right interval for claims about unseen speakers, and usually the wider one.

    Args:
        values: One score per clip; NaN is left out.
        weights: One weight per clip, 1 by default. ``jitter_ratio`` and ``within_clip_r2`` return theirs.
        groups: One label per clip.
        confidence: Coverage of the interval, 0.95 for a 95 % interval.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.

    Example:
        >>> interval = bootstrap_interval([1.0, 2.0, 3.0, float("nan")])
        >>> interval.mean, interval.low, interval.high, interval.count
        (2.0, 1.0, 3.0, 3)
    """
    scores = np.asarray(values, dtype=np.float64)
    shares = np.ones_like(scores) if weights is None else np.asarray(weights, dtype=np.float64)
    kept = np.isfinite(scores) & np.isfinite(shares) & (shares > 0)
    count = int(kept.sum())
    if count == 0:
        return Interval(float("nan"), None, None, 0, 0)
    labels = np.arange(len(scores)).astype(str) if groups is None else np.asarray(groups, dtype=str)
    _, unit = np.unique(labels[kept], return_inverse=True)
    units = int(unit.max()) + 1
    numerators = np.bincount(unit, weights=(scores * shares)[kept], minlength=units)
    denominators = np.bincount(unit, weights=shares[kept], minlength=units)
    mean = float(numerators.sum() / denominators.sum())
    if units < 2:
        return Interval(mean, None, None, count, units)
    draws = np.random.default_rng(seed).integers(0, units, size=(resamples, units))
    means = numerators[draws].sum(1) / denominators[draws].sum(1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(mean, float(low), float(high), count, units)


def bootstrap_difference(
    first: Sequence[float] | NDArray[np.float64],
    second: Sequence[float] | NDArray[np.float64],
    *,
    weights: Sequence[float] | NDArray[np.float64] | None = None,
    groups: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the interval of the paired difference ``first - second`` over the clips that both systems scored.

    Two systems scored on the same clips share the difficulty of the clips. The paired interval tells whether one is
    better; whether their separate intervals overlap does not. Arguments are those of ``bootstrap_interval``.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    return bootstrap_interval(
        difference, weights=weights, groups=groups, confidence=confidence, resamples=resamples, seed=seed
    )


def bootstrap_peak(
    curves: NDArray[np.float64],
    *,
    groups: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the lag at which the mean of the curves peaks, and its bootstrap interval.

    Args:
        curves: Correlations by lag, (clips, 2 * max_lag + 1); NaN is left out.
        groups: One label per clip.
        confidence: Coverage of the interval, 0.95 for a 95 % interval.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        An interval in frames, whose ``mean`` is the lag of the peak.
    """
    curves = np.asarray(curves, dtype=np.float64)
    kept = np.isfinite(curves).any(-1) if len(curves) else np.zeros(0, dtype=bool)
    if not kept.any():
        return Interval(float("nan"), None, None, 0, 0)
    labels = np.arange(len(curves)).astype(str) if groups is None else np.asarray(groups, dtype=str)
    _, unit = np.unique(labels[kept], return_inverse=True)
    units, known = int(unit.max()) + 1, np.isfinite(curves[kept])
    sums, counts = np.zeros((units, curves.shape[1])), np.zeros((units, curves.shape[1]))
    np.add.at(sums, unit, np.where(known, curves[kept], 0.0))
    np.add.at(counts, unit, known)
    half = curves.shape[1] // 2
    order = np.argsort(np.abs(np.arange(-half, half + 1)), kind="stable")  # among ties, the lag nearest to 0 wins

    def peak(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = np.where(count > 0, total / np.maximum(count, 1), -np.inf)
        return (order[mean[..., order].argmax(-1)] - half).astype(np.float64)

    lag = float(peak(sums.sum(0), counts.sum(0)))
    if units < 2:
        return Interval(lag, None, None, int(kept.sum()), units)
    draws = np.random.default_rng(seed).integers(0, units, size=(resamples, units))
    lags = peak(sums[draws].sum(1), counts[draws].sum(1))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(lags, [tail, 1.0 - tail])
    return Interval(lag, float(low), float(high), int(kept.sum()), units)
