"""Closure of the lips at bilabial consonants, for speech with known phonemes."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from expnet.metrics.base import ClipMetric
from expnet.metrics.functional.bilabial_closure import AROUND, MARGIN, SHUT, LipClosure, lip_closure
from expnet.metrics.functional.mouth import mouth_opening

_TITLES = {
    "opening": "Mouth opening at m, b, p",
    "recall": "Closures at m, b, p found",
    "precision": "Closures that are real",
}
_MEANINGS = {
    "opening": "Smallest mouth opening at each m, b and p, in shares of the real clip's range: 0 is shut, 1 wide "
    "open; the "
    "real clips' value is the aim.",
    "recall": "Share of the m, b and p closed by the real lips at which the predicted lips close as well.",
    "precision": "Share of the predicted closures in speech at which the real lips are shut, too.",
}


class BilabialClosure(ClipMetric):
    """Do the lips close at m, b and p, and only there? Averaged over phonemes or closures, not over clips.

    ``functional.lip_closure`` has the definitions.

    Args:
        what: ``opening``, ``recall`` or ``precision``, an attribute of ``functional.LipClosure``.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes, for one clip, landmarks ``predicted`` and ``target`` (T, 68, D), ``windows`` (a slice of frames
    for each bilabial, one frame wider on either side), and ``valid`` and ``silent`` (T,) boolean or None.
    """

    higher_is_better = None
    options: ClassVar[tuple[str, ...]] = ("what", "shut", "around", "margin")
    shut, around, margin = SHUT, AROUND, MARGIN

    def __init__(self, *, what: str = "recall", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if what not in _TITLES:
            raise ValueError(f"what must be one of {', '.join(_TITLES)}, got {what!r}")
        self.what = what
        self.ideal = None if what == "opening" else 1.0
        self.unit = "share of range" if what == "opening" else "share"
        self.name = f"lip_closure_{what}"
        self.title = _TITLES[what]
        self.explanation = (
            f"{_MEANINGS[what]} Only clips with known phonemes are scored, and only as well as the phonemes' times are "
            "known. A mouth that rests shut does not close."
        )

    def score(
        self,
        predicted: Tensor,
        target: Tensor,
        windows: Sequence[slice],
        valid: Tensor | None = None,
        silent: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the clip's value (scalar), and the number of events behind it as weight."""
        opening, real = mouth_opening(predicted), mouth_opening(target)
        every, none = torch.ones(len(real), dtype=torch.bool), torch.zeros(len(real), dtype=torch.bool)
        found = lip_closure(
            opening.cpu(),
            real.cpu(),
            windows,
            valid=every if valid is None else valid.cpu(),
            silent=none if silent is None else silent.cpu(),
        )
        return self.read(found)

    def read(self, found: LipClosure) -> tuple[Tensor, Tensor]:
        """Return value and weight of closures that were counted elsewhere."""
        count = {"opening": found.bilabials, "recall": found.real_closures, "precision": found.speech_frames}[self.what]
        return torch.tensor(getattr(found, self.what), dtype=torch.float64), torch.tensor(float(count))
