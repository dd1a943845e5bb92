"""Times two ways to the same result in turn, because only ratios of adjacent runs are reliable on a shared machine."""

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
    """Time of a piece of work.

    Attributes:
        wall: Seconds of wall time.
        processor: Seconds of all cores together for this process and its finished children.
    """

    wall: float
    processor: float

    def by(self, clock: str) -> float:
        """Seconds by ``wall`` or by ``processor`` time."""
        return float(getattr(self, clock))


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of several values."""

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
        """Speed of ours relative to theirs: their seconds divided by ours, pair by pair."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return Spread.of([other.by(clock) / max(own.by(clock), 1e-9) for own, other in pairs])

    def seconds(self, clock: str) -> tuple[float, float]:
        """Median seconds of ours and of theirs."""
        ours, theirs = (statistics.median(side.by(clock) for side in sides) for sides in (self.ours, self.theirs))
        return ours, theirs


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: Name by which ``--rows`` selects this row and related ones.
        what: Description of what is measured.
        against: Description of the reference in the same run.
        ours: Our result.
        theirs: Result of the reference.
        unit: Unit of both.
        ratio: Ratio of the two, pair by pair, which the aim refers to.
        aim: Bound of the ratio.
        clock: ``processor`` or ``wall``, the clock of the ratio.
        other: Ratio by the other clock, where that is meaningful.
        at_most: Whether the aim is an upper instead of a lower bound.
        note: Further information.
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
        """The row as plain values for JSON."""
        return {**asdict(self), "met": self.met}


def spent() -> Seconds:
    """Seconds so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime)


def timed(work: Work) -> Seconds:
    """Seconds of a piece of work, including what it started on the accelerator."""
    before = spent()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    after = spent()
    return Seconds(after.wall - before.wall, after.processor - before.processor)


def compare(ours: Work, theirs: Work, *, repeats: int = 5, warm: bool = True) -> Pairs:
    """Time both sides in turn, each of them first equally often.

    Args:
        ours: Our side.
        theirs: The reference.
        repeats: Number of pairs.
        warm: Run each side once before, which compiles and fills caches.
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
    """Make a row for the speed of ours relative to the reference.

    Args:
        name: Name of the row.
        what: Description of what is measured.
        against: Description of the reference.
        pairs: Times of both sides.
        aim: Required speed relative to the reference.
        clock: Clock of the ratio, ``processor`` or ``wall``.
        amount: Units of work per run, for results per second; None for results in seconds.
        unit: Unit of the results.
        both_clocks: Whether the other clock is meaningful as well.
        note: Further information.
    """
    ours, theirs = pairs.seconds(clock)
    if amount is not None:
        ours, theirs = amount / ours, amount / theirs
    other = pairs.ratio("wall" if clock == "processor" else "processor") if both_clocks else None
    return Row(name, what, against, ours, theirs, unit, pairs.ratio(clock), aim, clock, other, note=note)
