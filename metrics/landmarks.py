"""Landmark distance over the face (F-LMD) or the mouth (M-LMD)."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.landmarks import NORMALISATIONS, REGIONS, landmark_distance

UNITS = {
    "pixels_256": "px at 256",
    "centred": "px at 256",
    "interocular": "eye distances",
    "centred_scaled": "RMS radii",
}
"""Unit of the distance by normalisation: pixels of a 256-pixel crop, distances between the outer eye corners, or
root-mean-square radii of the point set."""


class LandmarkDistance(ClipMetric):
    """Mean Euclidean distance between corresponding landmarks, averaged over frames, then over clips; lower is better.

    ``functional.landmark_distance`` has the formula. The unit follows from the normalisation, see ``UNITS``; by default
    it is pixels of a 256-pixel crop.

    Args:
        region: ``face`` (68 points, F-LMD) or ``mouth`` (20 points, M-LMD).
        normalisation: One of ``functional.landmarks.NORMALISATIONS``.
        crop_size: Side in pixels of the crop that the coordinates refer to.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes landmarks ``predicted`` and ``target`` (B, T, 68, D >= 2) and ``valid`` (B, T) boolean or None.

    Example:
        >>> import torch
        >>> metric = LandmarkDistance(normalisation="pixels_256", crop_size=512)
        >>> target = torch.zeros(1, 4, 68, 2)
        >>> metric.update(target + torch.tensor([6.0, 8.0]), target)  # 10 pixels of 512
        >>> float(metric.compute()), metric.unit
        (5.0, 'px at 256')
    """

    higher_is_better = False
    ideal = 0.0
    options: ClassVar[tuple[str, ...]] = ("region", "normalisation", "crop_size")

    def __init__(
        self, *, region: str = "face", normalisation: str = "centred", crop_size: float = 256.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if region not in REGIONS:
            raise ValueError(f"region must be one of {', '.join(REGIONS)}, got {region!r}")
        if normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation must be one of {', '.join(NORMALISATIONS)}, got {normalisation!r}")
        self.region = region
        self.normalisation = normalisation
        self.crop_size = float(crop_size)
        self.name = "landmark_distance" if region == "face" else "landmark_distance_mouth"
        self.title = "Landmark distance, face" if region == "face" else "Landmark distance, mouth"
        self.unit = UNITS[normalisation]
        points = "all 68 landmarks (F-LMD)" if region == "face" else "the 20 lip landmarks (M-LMD)"
        self.explanation = (
            f"Mean distance of {points} to those of the real clip, normalisation {normalisation}. It favours averaged "
            "motion: a mouth that stays half open scores well, so read it with the correlation and the R². Numbers of "
            "other papers are comparable only for the same detector, crop and normalisation."
        )

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's distance (B,) and weight 1."""
        return unweighted(
            landmark_distance(
                predicted,
                target,
                valid=valid,
                region=self.region,
                normalisation=self.normalisation,
                crop_size=self.crop_size,
            )
        )
