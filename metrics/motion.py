"""Jitter, and how much and how fast the head moves, against the real clip."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.motion import jitter_ratio, pose_diversity, pose_ratio, pose_sample_diversity


class JitterRatio(ClipMetric):
    """Acceleration energy over that of the real clips: the ratio of the summed energies.

    ``update`` takes points ``predicted`` and ``target`` (B, T, L, D) measured the same way, and ``valid`` or None.
    """

    higher_is_better = None
    ideal = 1.0
    name = "jitter_ratio"
    title = "Jitter against real"
    unit = "ratio"
    explanation = (
        "Energy of the landmarks' frame-to-frame acceleration over the real clip's: 1 is as lively as life, far below "
        "1 is over-smooth, above 1 trembles. The real side holds the tracker's own noise, which raises it."
    )

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's ratio (B,) and the real clip's energy as its weight."""
        return jitter_ratio(predicted, target, valid=valid)


class PoseDiversity(ClipMetric):
    """Definition ``angle_std``: deviation over time of pitch, yaw and roll, mean of the three, mean over clips.

    ``update`` takes ``rotation`` (B, T, 3) in radians and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None
    name = "pose_diversity"
    title = "Head-pose diversity"
    unit = "degrees"
    explanation = (
        "Standard deviation over time of the three head angles. More is not better: the real clips' own value is the "
        "aim. It grows with the length of a clip, and a slow drift raises it as much as nodding does."
    )
    definition = "angle_std"
    options: ClassVar[tuple[str, ...]] = ("definition",)

    def score(self, rotation: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's diversity in degrees (B,) and weight 1."""
        return unweighted(pose_diversity(rotation, valid=valid))


class PoseRatio(ClipMetric):
    """Head-pose diversity or speed over that of the real clips.

    Args:
        measure: ``diversity`` or ``speed``.
        **kwargs: for ``torchmetrics.Metric``.

    ``update`` takes ``predicted`` and ``target`` rotations (B, T, 3) in radians and ``valid`` or None.
    """

    higher_is_better = None
    ideal = 1.0
    unit = "ratio"
    options: ClassVar[tuple[str, ...]] = ("measure",)

    def __init__(self, *, measure: str = "diversity", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.measure = measure
        self.name = f"pose_{measure}_ratio"
        self.title = f"Head-pose {measure} against real"
        what = "deviation of the head angles" if measure == "diversity" else "angular speed of the head"
        self.explanation = (
            f"Summed {what} over the real clips' own. 1 is as in life; it says nothing about whether the head moves at "
            "the right moments, which no one can predict frame by frame."
        )

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's ratio (B,) and the real value as its weight."""
        return pose_ratio(predicted, target, measure=self.measure, valid=valid)


class PoseSampleDiversity(ClipMetric):
    """Definition ``pairwise_angle``: how far apart several head motions drawn for one audio are.

    ``update`` takes ``samples`` (N, T, 3) in radians for one clip, and ``valid`` (T,) boolean or None.
    """

    higher_is_better = None
    name = "pose_sample_diversity"
    title = "Diversity between pose samples"
    unit = "degrees"
    explanation = (
        "Mean difference of the head angles between samples drawn with different seeds for the same audio. 0 means "
        "that the generator collapsed to one answer; there is no real value to compare with."
    )
    definition = "pairwise_angle"
    options: ClassVar[tuple[str, ...]] = ("definition",)

    def score(self, samples: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the clip's value (scalar) and weight 1."""
        return unweighted(pose_sample_diversity(samples, valid=valid))
