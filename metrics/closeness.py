"""One score from many metrics whose aim is the real clips' value, exact over processes."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from expnet.metrics.base import NamedMetric
from expnet.metrics.functional.closeness import closeness_score

PARTS = (
    "audio_mouth_correlation",
    "theval_lip_dynamics",
    "silent_lip_motion",
    "theval_brow_dynamics",
    "pose_diversity",
    "blink_rate",
    "cpbd",
)
"""Whether the mouth follows the audio, how much the lips move in speech and in silence, brows, head, eyelids and
sharpness: what can be measured without a download, and without a real clip of the same words."""


class ClosenessScore(NamedMetric):
    """Geometric mean of min(x, r) / max(x, r) over some metrics x and their real values r, in [0, 1].

    States are float64 sums of weighted values for each part and side; a process without clips adds zeros.

    Args:
        parts: Keys of the metrics that enter; the score is NaN until each has a value on both sides.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = True
    ideal = 1.0
    name = "closeness_score"
    title = "Closeness to real"
    unit = "share"
    options: ClassVar[tuple[str, ...]] = ("parts",)
    real_sums: Tensor
    generated_sums: Tensor

    def __init__(self, parts: Sequence[str] = PARTS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parts = tuple(parts)
        self.explanation = (
            f"Geometric mean over {', '.join(self.parts)} of the smaller over the larger of the system's and the real "
            "clips' value: half and twice the real value count alike, and one part at 0 makes the score 0. It hides "
            "which part is far off, whether there is too much or too little motion, and everything that no part "
            "measures: identity, artefacts, and whether the words fit. Its agreement with people was not measured."
        )
        for side in ("real", "generated"):
            self.add_state(f"{side}_sums", torch.zeros(2, len(self.parts), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, scores: Mapping[str, float], real: bool, weights: Mapping[str, float] | None = None) -> None:
        """Add the scores of one clip; parts that are absent or NaN are left out of their means.

        Args:
            scores: Scores by metric key.
            real: Whether the clip is real or generated.
            weights: Weights by metric key, 1 where there is none.
        """
        name = "real_sums" if real else "generated_sums"
        values = torch.tensor([scores.get(part, torch.nan) for part in self.parts], dtype=torch.float64)
        shares = torch.tensor([(weights or {}).get(part, 1.0) for part in self.parts], dtype=torch.float64)
        known = values.isfinite() & (shares > 0)
        added = torch.stack([(values * shares).where(known, 0.0), shares.where(known, 0.0)])  # (2, P)
        setattr(self, name, getattr(self, name) + added.to(getattr(self, name).device))

    def compute(self) -> Tensor:
        """Return the score of all clips of all processes, () float64; NaN if a part is missing."""
        sides = [
            dict(zip(self.parts, (total / weight).tolist(), strict=True))
            for total, weight in (self.generated_sums, self.real_sums)
        ]
        try:
            value = closeness_score(*sides, self.parts)
        except ValueError:  # a part is missing, or the real value is 0
            value = float("nan")
        return torch.tensor(value, dtype=torch.float64, device=self.real_sums.device)
