"""Metrics of several motions sampled for the same audio: diversity, and the correlation of the lips."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.motion_windows import (
    WINDOW_COEFFICIENTS,
    WINDOW_FRAMES,
    WINDOW_REGIONS,
    region_measures,
)
from expnet.metrics.functional.samples import sample_diversity_ratio, sampled_mouth_correlation


class SampleDiversityRatio(ClipMetric):
    """Difference between samples for the same audio over the difference between a person's takes; dimensionless.

    ``functional.sample_diversity_ratio`` has the formula; over clips, the ratio of the summed differences.

    Args:
        region: ``lips``, ``upper_face`` or ``head``.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes, for one clip, ``samples`` (N, T, 68, D) and ``target`` (T, 68, D), landmarks without head pose, or
    for the head rotations (N, T, 3) and (T, 3) in radians; and ``valid`` (T,) boolean or None.
    """

    higher_is_better = None
    unit = "ratio"
    options: ClassVar[tuple[str, ...]] = ("region", "window_frames", "coefficients")
    window_frames = WINDOW_FRAMES
    coefficients = WINDOW_COEFFICIENTS

    def __init__(self, region: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if region not in WINDOW_REGIONS:
            raise ValueError(f"region must be one of {', '.join(WINDOW_REGIONS)}, got {region!r}")
        self.region = region
        self.name = f"{region}_sample_diversity_ratio"
        self.title = f"{region.replace('_', ' ').capitalize()} diversity between seeds"
        self.explanation = (
            "Difference between motions with different seeds for the same audio, over the difference between seconds "
            "of the real clip. 0 means that the seed changes nothing; 1 that it changes as much as another second of "
            "the same person. The audio determines the lips in part, so theirs should lie below 1. There is no real "
            "value."
        )

    def score(self, samples: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the clip's ratio (scalar), and the real difference as weight."""
        drawn, real = (region_measures(motion, self.region) for motion in (samples, target))
        return sample_diversity_ratio(drawn, real, valid=valid)


class SampledMouthCorrelation(ClipMetric):
    """Mouth-opening correlation of a sampler, of one sample or of the mean of all, averaged over clips; r in [-1, 1].

    ``functional.sampled_mouth_correlation`` has the definition.

    Args:
        of: ``one`` or ``mean``.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes, for one clip, landmarks ``samples`` (N, T, 68, D) and ``target`` (T, 68, D), and ``valid`` (T,)
    boolean or None.
    """

    higher_is_better = True
    ideal = 1.0
    unit = "r"
    options: ClassVar[tuple[str, ...]] = ("of",)

    def __init__(self, *, of: str = "one", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if of not in ("one", "mean"):
            raise ValueError(f"of must be one or mean, got {of!r}")
        self.of = of
        self.name = f"mouth_opening_correlation_{of}_sample"
        self.title = "Mouth-opening correlation, " + ("one sample" if of == "one" else "mean of the samples")
        self.explanation = (
            "Correlation of the mouth opening with the real one, "
            + ("of single samples, averaged over them. " if of == "one" else "after averaging the samples. ")
            + "The mean of the samples is what a regression aims at; a single sample lies below it by what the audio "
            "does not determine."
        )

    def score(self, samples: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the clip's correlation (scalar), and weight 1."""
        return unweighted(sampled_mouth_correlation(samples, target, of=self.of, valid=valid))
