"""Landmark distance over the face (F-LMD) or the mouth (M-LMD)."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.landmarks import NORMALISATIONS, REGIONS, landmark_distance

UNITS = {
    "pixels_256": "px at 256",
    "centred": "px at 256",
    "interocular": "eye distances",
    "centred_scaled": "set radii",
}


class LandmarkDistance(ClipMetric):
    """Mean Euclidean landmark distance, mean over frames, then over clips.

    Args:
        region: ``face`` or ``mouth``.
        normalisation: a name from ``functional.landmarks.NORMALISATIONS``.
        crop_size: side in pixels of the crop that the coordinates refer to.
        **kwargs: for ``torchmetrics.Metric``.

    ``update`` takes landmarks ``predicted`` and ``target`` (B, T, 68, D >= 2) and ``valid`` (B, T) boolean or None.
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
            f"Mean distance of {points} to the real clip's, normalisation {normalisation}. It rewards caution: a mouth "
            "that stays half open all the time scores well. Read it beside the correlation and the R². Other papers' "
            "numbers compare only when detector, crop and normalisation are the same."
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
