"""The realism of all systems, collected clip by clip: scores for the rows, windows for the distances of sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import MetricInfo, SystemResult
from expnet.evaluation.scores import Scores
from expnet.evaluation.statistics.summary import Described
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.evaluation.store.realism import Motion, RealismScorer, windows_by_half
from expnet.evaluation.store.window_table import WindowTable
from expnet.face.morphable import MorphableModel

REALISM_RULES = {
    "realism": "landmarks of the face model without head pose, predicted against tracked coefficients; a system that "
    "draws several samples is scored by the mean over them",
    "windows of motion": "the windows generated for one half of every clip against the real windows of the other half, "
    "mean of both directions",
}
"""Rules for the metrics of realism."""


OTHER_HALF = "real_other_half"
"""Name of the row of the yardstick."""


@dataclass(frozen=True)
class OtherHalf:
    """The yardstick of realism: what the real clips score against themselves at another time."""

    name: str = OTHER_HALF
    title: str = "Real, other half"
    kind: str = "reference"
    description: str = (
        "The second half of each real clip, scored as if it had been generated for the first: as near as the same "
        "person comes at another time. It says nothing about the lips' agreement with the audio."
    )


class RealismRecord:
    """Scores the realism of every system and clip.

    Args:
        model: The face model of the coefficients.
    """

    other_half = OtherHalf()

    def __init__(self, model: MorphableModel) -> None:
        self.scorer = RealismScorer(model)
        self.windows = WindowTable()

    def infos(self) -> tuple[MetricInfo, ...]:
        """Return what each metric means."""
        return (*self.windows.infos(), *self.scorer.infos())

    def protocol(self) -> dict[str, Any]:
        """Return what must be equal for scores of realism to be comparable."""
        return {"rules": dict(REALISM_RULES), "metrics": {info.key: dict(info.protocol) for info in self.infos()}}

    def described(self, systems: Sequence[Described]) -> tuple[Described, ...]:
        """Return the rows of the table: the systems, with the other half after the real clips."""
        real = [system for system in systems if system.name == GROUND_TRUTH]
        return (*real, self.other_half, *(system for system in systems if system.name != GROUND_TRUTH))

    def add_real(self, clip: Clip) -> tuple[Motion, Scores]:
        """Add a real clip; return its motion, and the scores of its other half."""
        real = self.scorer.real(clip)
        windows = windows_by_half(real)
        self.windows.add_real(clip.clip_id, clip.track.speaker, windows)
        self.windows.add(self.other_half.name, clip.clip_id, windows)
        return real, self.scorer.other_half(real)

    def add(self, clip: Clip, system: str, prediction: Prediction, real: Motion, scores: Scores) -> None:
        """Add what a system predicted for a clip to the windows and to its scores."""
        predicted = self.scorer.predicted(clip, prediction)
        self.scorer.add(scores, predicted, real)
        self.scorer.add_closures(scores, clip, predicted, real)
        if system != GROUND_TRUTH:
            self.windows.add(system, clip.clip_id, windows_by_half(predicted))

    def complete(self, results: Sequence[SystemResult]) -> tuple[SystemResult, ...]:
        """Return the results with the distances of windows, which are no means over clips."""
        first = next((system.name for system in results if system.kind == "model"), None)
        found = self.windows.summaries(first)
        return tuple(replace(system, metrics={**system.metrics, **found.get(system.name, {})}) for system in results)
