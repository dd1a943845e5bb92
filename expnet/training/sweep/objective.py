"""The score that the runs of a sweep are compared by: its name, its better end, and its value in a run folder."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from expnet.config import Config
from expnet.errors import ConfigError

Direction = Literal["minimize", "maximize"]
_KNOWN: dict[str, Direction] = {
    "loss": "minimize",
    "landmark_distance": "minimize",
    "landmark_distance_mouth": "minimize",
    "lpips": "minimize",
    "lpips_vgg": "minimize",
    "lpips_squeeze": "minimize",
    "fid": "minimize",
    "sync_distance": "minimize",
    "sync_confidence": "maximize",
    "within_clip_r2": "maximize",
    "mouth_opening_correlation": "maximize",
}
"""The better end of what a validation can measure. An Optuna study must know it before the first run has a metric."""


@dataclass(frozen=True)
class Score:
    """A value of the objective.

    Attributes:
        step: Step of its row in metrics.csv.
        value: The value.
    """

    step: int
    value: float


@dataclass(frozen=True)
class Objective:
    """A logged value that is minimised or maximised."""

    name: str
    direction: Direction

    def scores(self, folder: Path) -> list[Score]:
        """Return every finite value in the metrics.csv of a run, by step; empty if there is none yet."""
        path = folder / "metrics.csv"
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        # A last line without a newline is being written.
        rows = csv.DictReader(line for line in lines if line.endswith("\n"))
        found = [Score(int(row["step"]), float(row[self.name])) for row in rows if row.get(self.name)]
        return [score for score in found if math.isfinite(score.value)]

    def best(self, folder: Path) -> Score | None:
        """Return the best value of a run, which is that of its best.ckpt; None if there is no finite one."""
        return max(self.scores(folder), key=lambda score: self.quality(score.value), default=None)

    def quality(self, value: float) -> float:
        """Return a number that is higher for a better value."""
        return value if self.direction == "maximize" else -value


def objective_of(config: Config, direction: Direction | None) -> Objective:
    """Return the objective of a training: the score that chooses its best checkpoint.

    Args:
        config: Configuration of the training.
        direction: Which end is better; None to look it up.

    Raises:
        ConfigError: expnet does not know which end of the score is better.
    """
    name, known = config.trainer.monitor, None
    default, mode = _default_monitor(config.task)
    if name is None or name == default:
        name, known = default, mode
    direction = direction or known or _KNOWN.get(name.removeprefix("val/"))
    if direction is None:
        raise ConfigError(
            f"Whether a low or a high {name} is better is not known here: set direction=minimize or direction=maximize."
        )
    return Objective(name, direction)


def _default_monitor(task: str) -> tuple[str, Direction]:
    from expnet.training.tasks.base_task import BaseTask
    from expnet.training.tasks.expression_task import ExpressionTask

    # The other tasks are monitored by their loss.
    kind = ExpressionTask if task == "expression" else BaseTask
    return kind.monitor, "maximize" if kind.monitor_mode == "max" else "minimize"
