"""Mouth opening: correlation with the real one, lag behind it, and motion during silence."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.mouth import (
    STILL,
    best_lag,
    lagged_pearson,
    mouth_opening,
    pearson,
    silent_lip_motion,
)


class MouthOpeningPair(ClipMetric):
    """Base of metrics that compare two mouth openings over time."""

    @staticmethod
    def openings(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two openings (B, T) to compare."""
        return mouth_opening(predicted), mouth_opening(target)


class MouthOpeningCorrelation(MouthOpeningPair):
    """Pearson correlation of the mouth opening within each clip, averaged over clips.

    Unit: r, in [-1, 1], higher is better.

    Args:
        max_lag: With 0, frames are compared at the same time. With N > 0, each clip gets its best correlation within N
            frames in both directions. This forgives a constant delay and is biased upwards, as the maximum of 2 N + 1
            values, so report both.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes landmarks ``predicted`` and ``target`` (B, T, 68, D >= 2) and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = True
    ideal = 1.0
    unit = "r"
    options: ClassVar[tuple[str, ...]] = ("max_lag",)

    def __init__(self, *, max_lag: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_lag = max_lag
        self.name = "mouth_opening_correlation" + ("_best_lag" if max_lag else "")
        self.title = "Mouth-opening correlation" + (f", best of ±{max_lag} frames" if max_lag else "")
        self.explanation = (
            "Does the mouth open when the real one does? Pearson r of the inner-lip gap within each clip, averaged "
            "over clips; a mouth that never moves scores 0. It sees neither how far the mouth opens nor its shape."
        )

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's correlation (B,), and weight 1."""
        first, second = self.openings(predicted, target)
        if self.max_lag == 0:
            return unweighted(pearson(first, second, valid=valid, still=STILL))
        curve = lagged_pearson(first, second, max_lag=self.max_lag, valid=valid, still=STILL)
        return unweighted(best_lag(curve)[1])


class MouthOpeningLag(MouthOpeningPair):
    """Lag in frames at which the correlation, averaged over all clips, is highest; ideally 0.

    A positive lag means that the predicted mouth is late. The correlation *curves* are averaged before the maximum is
    taken, since the best lag of a single short clip is mostly noise.

    Args:
        max_lag: Largest lag in frames, in both directions.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes landmarks ``predicted`` and ``target`` (B, T, 68, D >= 2) and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None
    ideal = 0.0
    name = "mouth_opening_lag"
    title = "Mouth-opening lag"
    unit = "frames"
    explanation = (
        "Frames by which the predicted mouth comes after the real one (negative: before it), at the peak of the mean "
        "correlation; 1 frame is 40 ms. A value at the edge of the search, or with a correlation near 0, is "
        "meaningless."
    )
    options: ClassVar[tuple[str, ...]] = ("max_lag",)
    curve: Tensor
    curve_clips: Tensor

    def __init__(self, *, max_lag: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_lag = max_lag
        lags = 2 * max_lag + 1
        self.add_state("curve", torch.zeros(lags, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("curve_clips", torch.zeros(lags, dtype=torch.int64), dist_reduce_fx="sum")

    def correlations(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the correlation at every lag, (B, 2 * max_lag + 1)."""
        first, second = self.openings(predicted, target)
        return lagged_pearson(first, second, max_lag=self.max_lag, valid=valid, still=STILL)

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's best lag (B,), NaN for a mouth that never moves, and weight 1."""
        curve = self.correlations(predicted, target, valid)
        lag, _ = best_lag(curve)
        flat = (curve.nan_to_num() == 0).all(-1)
        return unweighted(lag.masked_fill(flat, torch.nan))

    def update(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> None:
        """Add the correlation curves of a batch of clips."""
        with torch.no_grad():
            curve = self.correlations(predicted, target, valid).reshape(-1, 2 * self.max_lag + 1)
            values, weights = self.score(predicted, target, valid)
        self.accumulate(values, weights)
        known = torch.isfinite(curve) & torch.isfinite(values.reshape(-1, 1))
        # Not in place, see `ClipMetric.accumulate`.
        self.curve = self.curve + torch.where(known, curve, torch.zeros_like(curve)).sum(0).to(self.curve.device)
        self.curve_clips = self.curve_clips + known.sum(0).to(self.curve.device)

    def compute(self) -> Tensor:
        """Return the best lag of the mean curve in frames, () float64; NaN if no clip was scored."""
        return best_lag(self.curve / self.curve_clips)[0]


class SilentLipMotion(ClipMetric):
    """Standard deviation of the mouth opening over silent frames, averaged over the clips that have enough of them.

    Unit: distances between the outer eye corners ("eye distances"). Neither direction is better: the aim is the real
    clips' value.

    Args:
        fewest: Minimum number of silent frames in a clip.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes landmarks ``predicted`` (B, T, 68, D), ``silent`` (B, T) boolean (``silent_frames``) and ``valid``
    (B, T) boolean or None.
    """

    higher_is_better = None
    name = "silent_lip_motion"
    title = "Lip motion in silence"
    unit = "eye distances"
    explanation = (
        "Standard deviation of the mouth opening while the audio is silent. Lower is not better: the real clips' value "
        "is the aim, because a frozen face scores 0. Clips without a pause are not scored."
    )
    options: ClassVar[tuple[str, ...]] = ("fewest",)

    def __init__(self, *, fewest: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fewest = fewest

    def score(self, predicted: Tensor, silent: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's standard deviation (B,), and weight 1."""
        return unweighted(silent_lip_motion(predicted, silent, valid=valid, fewest=self.fewest))
