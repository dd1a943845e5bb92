"""Callbacks and metrics of other packages that a configuration asks for."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from expnet.callbacks.metric_callback import MetricCallback
from expnet.config import Config
from expnet.config.part_sections import ScoreConfig, build_section
from expnet.errors import ConfigError
from expnet.metrics import ClipMetric


class OwnScores(MetricCallback):
    """Log the metrics of other packages as ``val/NAME``, from the coefficients or landmarks of every validation clip.

    Args:
        sections: ``metrics.extra`` of the configuration.

    Raises:
        ConfigError: A part is no `expnet.metrics.ClipMetric`.
    """

    count_as = "clips"

    def __init__(self, sections: dict[str, ScoreConfig]) -> None:
        super().__init__()
        self.sections = sections
        self.measures = [_metric(label, section) for label, section in sections.items()]

    def update(self, pl_module: pl.LightningModule, outputs: Any, batch: Any) -> None:
        """Score a batch of whole clips; nothing is rendered."""
        if not outputs.valid.any():
            return  # this process has no clip to evaluate
        for (label, section), metric in zip(self.sections.items(), self.metrics, strict=True):
            landmarks = section.of == "landmarks"
            if landmarks and outputs.landmarks is None:
                raise ConfigError(f"metrics.extra.{label}.of=landmarks: this task predicts none; of=coefficients.")
            predicted = outputs.landmarks if landmarks else outputs.predicted
            target = outputs.target_landmarks if landmarks else outputs.target
            metric.update(predicted, target, valid=outputs.valid)


def own_callbacks(config: Config) -> list[pl.Callback]:
    """Return the metrics and callbacks of other packages.

    Raises:
        ConfigError: One is of the wrong type.
    """
    found: list[pl.Callback] = [OwnScores(config.metrics.extra)] if config.metrics.extra else []
    for label, section in config.callbacks.items():
        callback = build_section("callbacks", label, section)
        if not isinstance(callback, pl.Callback):
            raise ConfigError(
                f"callbacks.{label} must make a pytorch_lightning.Callback, not a {type(callback).__name__}."
            )
        found.append(callback)
    return found


def _metric(label: str, section: ScoreConfig) -> ClipMetric:
    metric = build_section("metrics", label, section)
    if not isinstance(metric, ClipMetric):
        raise ConfigError(
            f"metrics.extra.{label} must make an expnet.metrics.ClipMetric, not a {type(metric).__name__}."
        )
    return metric
