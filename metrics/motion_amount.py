"""Amount of motion of a region relative to the real clips: deviation, speed, jitter, energy by frequency."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric
from expnet.metrics.functional.motion_amount import BANDS, MEASURES, band_energy_ratio, motion_amount_ratio

_WHAT = {
    "deviation": "distance of the points from their mean positions",
    "speed": "root mean square displacement per frame",
    "jitter": "energy of the acceleration, in which trembling counts most,",
}


class MotionAmountRatio(ClipMetric):
    """How much a region moves relative to the real clips: the ratio of the summed amounts, dimensionless, ideally 1.

    Args:
        region: Name of the region that the points belong to; it becomes part of the key.
        measure: ``deviation`` (``functional.motion_deviation``), ``speed`` (``functional.motion_speed``) or ``jitter``
            (``functional.acceleration_energy``, an energy).
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes the region's points ``predicted`` and ``target`` (B, T, L, D), measured in the same way and without
    head pose (``functional.motion_amount.MOTION_REGIONS`` names landmarks; for the head, its angles as one point), and
    ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None
    ideal = 1.0
    unit = "ratio"
    options: ClassVar[tuple[str, ...]] = ("region", "measure")

    def __init__(self, region: str, *, measure: str = "deviation", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if measure not in MEASURES:
            raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
        self.region = region
        self.measure = measure
        self.name = f"{region}_{measure}_ratio"
        self.title = f"{_named(region)} {measure} against real"
        self.explanation = (
            f"Sum over clips of the {_WHAT[measure]} ({_named(region).lower()}), divided by that of the real clips. 1 "
            "is the real amount, 0 a still face. It does not see whether the motion comes at the right moments."
        )

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's ratio (B,), and the real clip's amount as weight."""
        return motion_amount_ratio(predicted, target, measure=self.measure, valid=valid)


class MotionBandRatio(ClipMetric):
    """Energy of a region's motion in one frequency band relative to the real clips: the ratio of the sums, ideally 1.

    Args:
        region: Name of the region that the points belong to; it becomes part of the key.
        band: ``slow`` (0.5 to 2 Hz), ``syllable`` (2 to 5 Hz) or ``fast`` (5 to 12.5 Hz); ``functional.band_energy``
            has the formula.
        fps: Frames per second.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes points ``predicted`` and ``target`` (B, T, L, D), as `MotionAmountRatio` does, and ``valid`` (B, T)
    boolean or None.
    """

    higher_is_better = None
    ideal = 1.0
    unit = "ratio"
    options: ClassVar[tuple[str, ...]] = ("region", "band", "hertz", "fps")

    def __init__(self, region: str, *, band: str, fps: float = 25.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if band not in BANDS:
            raise ValueError(f"band must be one of {', '.join(BANDS)}, got {band!r}")
        self.region = region
        self.band = band
        self.hertz = list(BANDS[band])
        self.fps = fps
        low, high = BANDS[band]
        self.name = f"{region}_{band}_energy_ratio"
        self.title = f"{_named(region)} energy at {low:g} to {high:g} Hz against real"
        self.explanation = (
            f"Energy of the motion ({_named(region).lower()}) between {low:g} and {high:g} Hz, divided by that of the "
            "real clips; an energy is a squared amplitude, so half the motion gives 0.25. Above 5 Hz a good part of "
            "the real energy is noise of the tracker. Clips below two seconds are not scored."
        )

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's ratio (B,), and the real clip's energy as weight."""
        return band_energy_ratio(predicted, target, band=self.band, valid=valid, fps=self.fps)


def _named(region: str) -> str:
    """Return the region as the start of a title."""
    return region.replace("_", " ").capitalize()
