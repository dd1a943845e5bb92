"""Base of the metrics that compare two sets of feature vectors by their moments, exact over processes."""

from typing import Any

import torch
from torch import Tensor

from expnet.metrics.base import NamedMetric
from expnet.metrics.functional.frechet import Moments


class MomentMetric(NamedMetric):
    """A metric of count, sum and sum of outer products of real and of generated feature vectors.

    States are float64 sums that one all-reduce adds up over processes; a process without vectors adds zeros.

    Args:
        features: Number of features.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    real_count: Tensor
    real_total: Tensor
    real_scatter: Tensor
    generated_count: Tensor
    generated_total: Tensor
    generated_scatter: Tensor

    def __init__(self, features: int, **kwargs: Any) -> None:
        super().__init__(**{"dist_sync_fn": _all_reduce, **kwargs})
        self.features = int(features)
        self._fixed: dict[bool, Moments] = {}
        for side in ("real", "generated"):
            self.add_state(f"{side}_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
            self.add_state(f"{side}_total", torch.zeros(features, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(
                f"{side}_scatter", torch.zeros(features, features, dtype=torch.float64), dist_reduce_fx="sum"
            )

    def add_features(self, features: Tensor, real: bool) -> None:
        """Add features (N, features) that were computed elsewhere."""
        if features.ndim != 2 or features.shape[1] != self.features:
            raise ValueError(f"features must be (N, {self.features}), got {tuple(features.shape)}")
        if real in self._fixed:
            raise ValueError("the moments of this side were loaded; nothing can be added to them")
        side, added = _side(real), Moments.of(features.detach().to(self.real_total.device))
        for state in ("count", "total", "scatter"):
            # Not in place, see `ClipMetric.accumulate`.
            setattr(self, f"{side}_{state}", getattr(self, f"{side}_{state}") + getattr(added, state))
        self.changed()

    def moments(self, real: bool) -> Moments:
        """Return the moments of one side: of this process, or of all processes in ``sync_context`` and ``compute``."""
        if real in self._fixed:
            return self._fixed[real].to(self.real_total.device)
        return Moments(*(getattr(self, f"{_side(real)}_{state}") for state in ("count", "total", "scatter")))

    def load_moments(self, moments: Moments, real: bool = True) -> None:
        """Fix the moments of one side, for instance of the real data, which never change.

        Every process must load the same moments. They are not summed over processes, and ``reset`` keeps them.

        Args:
            moments: Moments of ``features`` features.
            real: Whether they are of real or generated data.
        """
        if len(moments.total) != self.features:
            raise ValueError(f"moments must be of {self.features} features, got {len(moments.total)}")
        self._fixed[real] = moments
        self.changed()


def _side(real: bool) -> str:
    return "real" if real else "generated"


def _all_reduce(state: Tensor, group: Any = None) -> list[Tensor]:
    """Sum a state over processes instead of gathering it, which would need a 34 MB matrix per process."""
    total = state.clone()
    torch.distributed.all_reduce(total, group=group)
    return [total]
