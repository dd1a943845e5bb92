"""Two ways to the same thing, timed in turn: on a machine that others use too, only ratios of neighbours mean much."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Seconds:
    """What a piece of work took.

    Attributes:
        wall: seconds on the clock.
        processor: seconds that all cores together spent on this process and on its finished children.
    """

    wall: float
    processor: float

    def by(self, clock: str) -> float:
        """Seconds by ``wall`` or by ``processor``."""
        return float(getattr(self, clock))


@dataclass(frozen=True)
class Spread:
    """Median, least and most of several values."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Pairs:
    """Both sides of a comparison, once for each repetition."""

    ours: list[Seconds]
    theirs: list[Seconds]

    def ratio(self, clock: str) -> Spread:
        """Times that ours is faster: their seconds over ours, pair by pair."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return Spread.of([other.by(clock) / max(own.by(clock), 1e-9) for own, other in pairs])

    def seconds(self, clock: str) -> tuple[float, float]:
        """Median seconds of ours and of theirs."""
        ours, theirs = (statistics.median(side.by(clock) for side in sides) for sides in (self.ours, self.theirs))
        return ours, theirs


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: by which ``--rows`` chooses it and its neighbours.
        what: is measured.
        against: what it is compared with, in the same run.
        ours: our figure.
        theirs: the figure of what it is compared with.
        unit: of both.
        ratio: of the two, pair by pair: the number that the aim is about.
        aim: its bound.
        clock: ``processor`` or ``wall``: by which the ratio was taken.
        other: the ratio by the other clock, where that says something.
        at_most: the aim is a ceiling, not a floor.
        note: what else has to be known.
    """

    name: str
    what: str
    against: str
    ours: float
    theirs: float
    unit: str
    ratio: Spread
    aim: float
    clock: str
    other: Spread | None = None
    at_most: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the median reaches the aim."""
        return self.ratio.median <= self.aim if self.at_most else self.ratio.median >= self.aim

    def plain(self) -> dict[str, Any]:
        """The row as JSON has it."""
        return {**asdict(self), "met": self.met}


def spent() -> Seconds:
    """Seconds so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime)


def timed(work: Work) -> Seconds:
    """Seconds of a piece of work, what it left on the accelerator included."""
    before = spent()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    after = spent()
    return Seconds(after.wall - before.wall, after.processor - before.processor)


def compare(ours: Work, theirs: Work, *, repeats: int = 5, warm: bool = True) -> Pairs:
    """Time both sides in turn, each first as often as second.

    Args:
        ours: one side.
        theirs: the other.
        repeats: pairs.
        warm: run each once before, which compiles and fills caches.
    """
    if warm:
        ours(), theirs()
    pairs = Pairs([], [])
    for number in range(repeats):
        sides = [(ours, pairs.ours), (theirs, pairs.theirs)]
        for work, seconds in sides if number % 2 == 0 else reversed(sides):
            seconds.append(timed(work))
    return pairs


def speed_row(
    name: str,
    what: str,
    against: str,
    pairs: Pairs,
    aim: float,
    *,
    clock: str,
    amount: float | None = None,
    unit: str = "s",
    both_clocks: bool = True,
    note: str = "",
) -> Row:
    """A row that says how many times as fast ours is.

    Args:
        name: of the row.
        what: is measured.
        against: the other side.
        pairs: its times.
        aim: times as fast.
        clock: by which.
        amount: of what is done once, for figures of so much a second; None for figures in seconds.
        unit: of the figures.
        both_clocks: whether the other clock is honest as well.
        note: what else has to be known.
    """
    ours, theirs = pairs.seconds(clock)
    if amount is not None:
        ours, theirs = amount / ours, amount / theirs
    other = pairs.ratio("wall" if clock == "processor" else "processor") if both_clocks else None
    return Row(name, what, against, ours, theirs, unit, pairs.ratio(clock), aim, clock, other, note=note)
