"""Windows of motion of every system against those of the real clips: distances of whole sets, for the table.

The windows that a system generated for one half of every clip are compared with the real ones of the other half, in
both directions. So the real clips themselves have a value, from sets of the same size, that nothing can be expected to
beat: it is the row of the real clips' other half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from expnet.data.even_spacing import evenly_spaced_indices
from expnet.evaluation.report.results import MetricInfo, MetricSummary
from expnet.evaluation.scores import describe_metric
from expnet.evaluation.statistics.jackknife import jackknife, people_groups
from expnet.evaluation.store.realism import WINDOWS, Halves
from expnet.metrics import Moments, MotionFrechetDistance, MotionNeighbours
from expnet.metrics.functional import neighbour_scores, standardised_frechet_distance
from expnet.metrics.functional.motion_windows import WINDOW_REGIONS
from expnet.metrics.functional.neighbours import standardised
from expnet.metrics.motion_windows import FEWEST_WINDOWS

SHARES = ("precision", "recall", "coverage")
"""The scores of nearest neighbours in the table."""
MOST_NEIGHBOURS = 600
"""Windows of a set that are used for nearest neighbours, evenly spaced; more hardly change the shares."""

WindowsOfClip = Mapping[str, Halves]
"""The windows of one clip by region."""


@dataclass(eq=False)
class WindowTable:
    """Collects the windows of all systems and clips, and compares them at the end.

    Attributes:
        real: The windows of the real clips, by clip.
        systems: The windows of each system, by system and clip.
        people: The speaker of each clip.
    """

    real: dict[str, WindowsOfClip] = field(default_factory=dict)
    systems: dict[str, dict[str, WindowsOfClip]] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)

    def add_real(self, clip: str, person: str, windows: WindowsOfClip) -> None:
        """Add the windows of a real clip."""
        self.real[clip] = windows
        self.people[clip] = person

    def add(self, system: str, clip: str, windows: WindowsOfClip) -> None:
        """Add the windows that a system generated for a clip."""
        self.systems.setdefault(system, {})[clip] = windows

    def infos(self) -> tuple[MetricInfo, ...]:
        """Return what each metric means."""
        metrics = [
            kind
            for region in WINDOW_REGIONS
            for kind in (
                MotionFrechetDistance(region),
                *(MotionNeighbours(region, score=score) for score in SHARES),
            )
        ]
        return tuple(describe_metric(metric, WINDOWS) for metric in metrics)

    def summaries(self, first: str | None) -> dict[str, dict[str, MetricSummary]]:
        """Return the summaries by system and metric key; ``first`` is the system that differences are taken to."""
        found = {name: self._summaries_of(windows) for name, windows in self.systems.items()}
        base = found.get(first or "", {})
        return {
            name: {
                key: summary
                if name == first or key not in base
                else replace(summary, difference_to_first=summary.mean - base[key].mean)
                for key, summary in metrics.items()
            }
            for name, metrics in found.items()
        }

    def notes(self) -> list[str]:
        """Say how many windows the distances are computed from, and where there are too few."""
        notes = []
        for region in WINDOW_REGIONS:
            halves = [windows[region] for windows in self.real.values() if region in windows]
            counts = [sum(half[side].shape[1] for half in halves) for side in (0, 1)]
            named = f"{region.replace('_', ' ')}: {counts[0]} and {counts[1]}"
            notes.append(named if min(counts) >= FEWEST_WINDOWS else f"{named}, too few of at least {FEWEST_WINDOWS}")
        return [
            f"Windows of motion, one second each, in the halves of {len(self.real)} real clips: {'; '.join(notes)}. "
            "With few windows their distances are mostly bias, about the same in rows that move as much as real "
            "people: compare rows of one table, and with the row of the real clips' other half, which is the yardstick."
        ]

    def _summaries_of(self, windows: Mapping[str, WindowsOfClip]) -> dict[str, MetricSummary]:
        """Return the summaries of one system."""
        found: dict[str, MetricSummary] = {}
        for region in WINDOW_REGIONS:
            clips = [clip for clip in windows if region in windows[clip] and region in self.real.get(clip, {})]
            pairs = [(self.real[clip][region], windows[clip][region]) for clip in clips]
            if not pairs or min(_counts(pairs)) < FEWEST_WINDOWS:
                continue
            groups = people_groups([self.people[clip] for clip in clips])
            mean, ends = jackknife(_frechet(pairs, groups), sorted(set(groups)))
            found[f"{region}_frechet_distance"] = MetricSummary(mean=mean, ci95=ends, n=len(pairs))
            for score in SHARES:
                mean, ends = jackknife(_neighbours(pairs, groups, score), sorted(set(groups)), most=1.0)
                found[f"{region}_window_{score}"] = MetricSummary(mean=mean, ci95=ends, n=len(pairs))
        return found


Pairs = Sequence[tuple[Halves, Halves]]
"""The real windows and those of a system, by clip."""


def _frechet(pairs: Pairs, groups: Sequence[int]) -> Callable[[int | None], float]:
    """Return the mean distance over samples and both directions, as a function of the group that is left out."""
    samples = min(generated[0].shape[0] for _, generated in pairs)
    parts: dict[tuple[int, int, int], Moments] = {}  # by side of the pair or sample + 1, half, and group
    for (real, generated), group in zip(pairs, groups, strict=True):
        for half in (0, 1):
            rows = [real[half][0], *generated[half][:samples]]
            for place, features in enumerate(rows):
                added, key = Moments.of(features), (place, half, group)
                parts[key] = parts[key] + added if key in parts else added

    def total(place: int, half: int, without: int | None) -> Moments:
        chosen = [parts[place, half, group] for group in sorted(set(groups)) if group != without]
        return sum(chosen[1:], start=chosen[0])

    def measure(without: int | None) -> float:
        distances = [
            standardised_frechet_distance(total(0, half, without), total(sample + 1, 1 - half, without))
            for half in (0, 1)
            for sample in range(samples)
        ]
        return float(torch.stack(distances).mean())

    return measure


def _neighbours(pairs: Pairs, groups: Sequence[int], score: str) -> Callable[[int | None], float]:
    """Return the mean share over samples and both directions, as a function of the group that is left out."""
    samples = min(generated[0].shape[0] for _, generated in pairs)

    def rows(side: int, half: int, sample: int, without: int | None) -> Tensor:
        kept = [pair[side][half][sample] for pair, group in zip(pairs, groups, strict=True) if group != without]
        windows = torch.cat(kept)
        return windows[torch.from_numpy(evenly_spaced_indices(len(windows), MOST_NEIGHBOURS))]

    def measure(without: int | None) -> float:
        shares = []
        for half in (0, 1):
            real = rows(0, half, 0, without)
            for sample in range(samples):
                found = neighbour_scores(*standardised(real, rows(1, 1 - half, sample, without)))
                shares.append(getattr(found, score))
        return float(torch.stack(shares).mean())

    return measure


def _counts(pairs: Pairs) -> list[int]:
    """Return the number of windows of both sides and both halves."""
    return [sum(pair[side][half].shape[1] for pair in pairs) for side in (0, 1) for half in (0, 1)]
