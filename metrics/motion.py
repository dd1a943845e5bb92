"""Jitter, and amount and speed of head motion, absolute or relative to the real clips."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.motion import jitter_ratio, pose_diversity, pose_ratio, pose_sample_diversity


class JitterRatio(ClipMetric):
    """Acceleration energy relative to the real clips: the ratio of the summed energies, dimensionless, ideally 1.

    ``functional.acceleration_energy`` has the formula.

    ``update`` takes points ``predicted`` and ``target`` (B, T, L, D), measured in the same way, and ``valid`` (B, T)
    boolean or None.

    Example:
        >>> import torch
        >>> metric = JitterRatio()
        >>> target = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(1, 4, 1, 1)
        >>> metric.update(2 * target, target)  # twice the amplitude has four times the energy
        >>> float(metric.compute())
        4.0
    """

    higher_is_better = None
    ideal = 1.0
    name = "jitter_ratio"
    title = "Jitter against real"
    unit = "ratio"
    explanation = (
        "Energy of the landmarks' frame-to-frame acceleration relative to the real clip: 1 is as lively as the real "
        "clip, far below 1 is over-smooth, above 1 jitters. The real value includes the noise of the tracker."
    )

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's ratio (B,), and the real clip's energy as weight."""
        return jitter_ratio(predicted, target, valid=valid)


class PoseDiversity(ClipMetric):
    """Standard deviation over time of pitch, yaw and roll, averaged over the angles, then over clips, in degrees.

    The definition is named ``angle_std``. Neither direction is better: the aim is the real clips' value.

    ``update`` takes ``rotation`` (B, T, 3) in radians and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None
    name = "pose_diversity"
    title = "Head-pose diversity"
    unit = "degrees"
    explanation = (
        "Standard deviation over time of the three head angles. Higher is not better: the real clips' value is the "
        "aim. It grows with the length of a clip, and a slow drift raises it as much as nodding."
    )
    definition = "angle_std"
    options: ClassVar[tuple[str, ...]] = ("definition",)

    def score(self, rotation: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's diversity in degrees (B,), and weight 1."""
        return unweighted(pose_diversity(rotation, valid=valid))


class PoseRatio(ClipMetric):
    """Head-pose diversity or speed relative to the real clips: the ratio of the sums, dimensionless, ideally 1.

    Args:
        measure: ``diversity`` (standard deviation of the angles) or ``speed`` (root mean square change per frame).
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes rotations ``predicted`` and ``target`` (B, T, 3) in radians and ``valid`` (B, T) boolean or None.
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
            f"Sum of the {what} divided by that of the real clips. 1 is the real amount. It does not see whether the "
            "head moves at the right moments, which cannot be predicted frame by frame."
        )

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's ratio (B,), and the real value as weight."""
        return pose_ratio(predicted, target, measure=self.measure, valid=valid)


class PoseSampleDiversity(ClipMetric):
    """Mean angle difference between head motions sampled for the same audio, averaged over clips, in degrees.

    The definition is named ``pairwise_angle``; ``functional.pose_sample_diversity`` has the formula. There is no ideal
    value.

    ``update`` takes ``samples`` (N, T, 3) in radians for one clip, and ``valid`` (T,) boolean or None.
    """

    higher_is_better = None
    name = "pose_sample_diversity"
    title = "Diversity between pose samples"
    unit = "degrees"
    explanation = (
        "Mean difference of the head angles between samples with different seeds for the same audio. 0 means that the "
        "generator collapsed to a single motion. There is no real value to compare with."
    )
    definition = "pairwise_angle"
    options: ClassVar[tuple[str, ...]] = ("definition",)

    def score(self, samples: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the clip's value in degrees (scalar), and weight 1."""
        return unweighted(pose_sample_diversity(samples, valid=valid))
