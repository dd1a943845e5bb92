"""Base classes of all metrics. Their states are float64 sums, correct for any split, module dtype or order of clips.

The usual list states of torchmetrics with ``dist_reduce_fx=None`` hang or silently give wrong values if processes hold
different numbers of clips, which is the normal case for a test set. Sums merge exactly, an idle process adds zeros, and
memory does not grow.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torchmetrics import Metric


class NamedMetric(Metric):
    """A metric that describes itself, and whose states keep their dtype.

    Attributes:
        name: Key in result files, in full words.
        title: Heading in tables.
        unit: Unit of the value.
        higher_is_better: Direction; None if the aim is ``ideal`` or the real clips' value.
        ideal: Value of a perfect system; None if it is only known from real clips.
        explanation: What the number measures, what it does not see, and when not to trust it.
    """

    full_state_update: bool | None = False
    is_differentiable: bool | None = False
    higher_is_better: bool | None = None

    name: str = ""
    title: str = ""
    unit: str = ""
    ideal: float | None = None
    explanation: str = ""
    options: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that belong to the protocol."""

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that must be equal for two scores to be comparable, as plain values."""
        return {"metric": type(self).__name__, **{option: getattr(self, option) for option in self.options}}

    def changed(self) -> None:
        """Invalidate the cached result of ``compute`` after the states changed without ``update``."""
        self._computed = None
        self._update_count += 1

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Self:
        """Follow a parent module to its device, but never to its dtype.

        ``module.to(torch.bfloat16)`` would convert the sums to bfloat16, which rounds 1.001 to 1.0, and ``reset`` would
        not undo it.
        """

        def keep_dtype(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        super()._apply(keep_dtype, exclude_state)
        return self


class ClipMetric(NamedMetric):
    r"""Weighted mean over clips of a score that is defined for each clip.

    .. math:: \frac{\sum_i w_i s_i}{\sum_i w_i}

    A subclass implements ``score``, which returns value and weight for each clip of a batch; ``update`` takes the same
    arguments. A clip with value NaN could not be scored: it is left out of the mean and counted in ``unscored``.

    Attributes:
        total: Sum of the weighted values, () float64.
        weight: Sum of the weights, () float64.
        clips: Number of scored clips, () int64.
        unscored: Number of clips that could not be scored, () int64.
    """

    total: Tensor
    weight: Tensor
    clips: Tensor
    unscored: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("unscored", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def score(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Return value and weight of each clip, both (B,) or scalar, float64."""
        raise NotImplementedError

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Score a batch of clips and accumulate the result; the arguments are those of `score`."""
        with torch.no_grad():
            values, weights = self.score(*args, **kwargs)
        self.accumulate(values, weights)

    def accumulate(self, values: Tensor, weights: Tensor) -> None:
        """Add clip scores that were computed elsewhere."""
        values = values.detach().double().reshape(-1).to(self.total.device)
        weights = weights.detach().double().reshape(-1).to(self.total.device)
        scored = torch.isfinite(values) & torch.isfinite(weights) & (weights > 0)
        # Not in place: a Trainer's validation leaves inference tensors in the states, which training may not change.
        self.total = self.total + (values * weights)[scored].sum()
        self.weight = self.weight + weights[scored].sum()
        self.clips = self.clips + scored.sum()
        self.unscored = self.unscored + (~scored).sum()
        self.changed()

    def compute(self) -> Tensor:
        """Return the weighted mean over all clips of all processes, () float64; NaN if no clip was scored."""
        return self.total / self.weight


def unweighted(values: Tensor) -> tuple[Tensor, Tensor]:
    """Pair each clip's value with weight 1."""
    return values, torch.ones_like(values)
