"""The scores of one system on one clip, and the description of a metric for the table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from expnet.evaluation.report.results import MetricInfo
from expnet.metrics import ClipMetric, MouthOpeningLag, NamedMetric


@dataclass(eq=False)
class Scores:
    """The scores of one system on one clip.

    Attributes:
        values: The scores by metric key, NaN where undefined.
        weights: The weights by metric key, where they are not 1.
        curves: The correlation by lag (2 * max_lag + 1), by metric key; NaN for a mouth that never moves.
        features: The features (N, F) of the frames, where their distribution is compared.
        vectors: Other vectors (N, F) whose distribution is compared, by metric key.
        remarks: What a reader of the row should know.
    """

    values: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    features: Tensor | None = None
    vectors: dict[str, Tensor] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, metric: ClipMetric, *inputs: Tensor | None) -> None:
        """Score one clip with a metric; the inputs have no batch dimension."""
        batch = tuple(value if value is None else value[None] for value in inputs)
        self._put(metric, *metric.score(*batch))

    def add_whole(self, metric: ClipMetric, *inputs: Tensor | None) -> None:
        """Score with a metric whose inputs have no batch dimension either."""
        self._put(metric, *metric.score(*inputs))

    def put(self, key: str, value: float, weight: float = 1.0) -> None:
        """Add a score that has already been computed."""
        self.values[key] = value
        if weight != 1.0:
            self.weights[key] = weight

    def add_lag(self, metric: MouthOpeningLag, predicted: Tensor, target: Tensor, valid: Tensor | None) -> None:
        """Score the lag of one clip and keep its curve, because the table's lag is where the mean curve peaks."""
        self.add(metric, predicted, target, valid)
        curve = metric.correlations(predicted[None], target[None], None if valid is None else valid[None])[0].numpy()
        still = math.isnan(self.values[metric.name])
        self.curves[metric.name] = np.full_like(curve, np.nan) if still else curve

    def _put(self, metric: ClipMetric, value: Tensor, weight: Tensor) -> None:
        self.put(metric.name, float(value.reshape(-1)[0]), float(weight.reshape(-1)[0]))


def describe_metric(metric: NamedMetric, group: str) -> MetricInfo:
    """Describe a metric for the table; ``group`` is the heading of its column."""
    return MetricInfo(
        key=metric.name,
        title=metric.title,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        ideal=metric.ideal,
        group=group,
        explanation=metric.explanation,
        protocol=metric.protocol,
    )
