"""Which run of a sweep comes next: the interface, and the grid of all combinations."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from expnet.training.sweep.objective import Score
from expnet.training.sweep.plan import Plan, Trial
from expnet.training.sweep.record import Record


class Proposals(Protocol):
    """A source of runs.

    Attributes:
        total: Number of runs of the whole sweep.
        independent: Whether a run does not depend on the scores of earlier ones, so that all may start at once.
    """

    total: int
    independent: bool

    def next(self) -> Trial | None:
        """Return the next run; None if there is none left."""

    def report(self, trial: Trial, score: Score) -> bool:
        """Take an intermediate score of a run, and return whether the run should be stopped early."""

    def tell(self, trial: Trial, record: Record, best: Score | None) -> None:
        """Take the end of a run: its state, and its best score, if it has one."""


class GridProposals:
    """Every combination of the values, in order.

    Args:
        plan: The sweep.
    """

    independent = True

    def __init__(self, plan: Plan) -> None:
        self.trials = plan.grid()
        self.total = len(self.trials)
        self._waiting = deque(self.trials)

    def next(self) -> Trial | None:
        """Return the next combination."""
        return self._waiting.popleft() if self._waiting else None

    def report(self, trial: Trial, score: Score) -> bool:
        """Never stop a run."""
        return False

    def tell(self, trial: Trial, record: Record, best: Score | None) -> None:
        """Do nothing: a grid learns nothing."""
