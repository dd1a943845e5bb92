"""Samplers: which windows an epoch has, in which order, and on which process.

The samplers derive from ``DistributedSampler``, so Lightning leaves them in place and calls ``set_epoch``. Each of them
yields only the share of its own process.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler


class WindowDraw(NamedTuple):
    """One training window: its clip, and the numbers that seed its start and its augmentation."""

    clip: int
    epoch: int
    draw: int


class WindowSampler(DistributedSampler[Any]):
    """Draws training windows; the draws depend on seed and epoch only, for any number of loading workers.

    On average, a clip is drawn ``expected[clip]`` times per epoch, and never more than once above or below (systematic
    sampling). Every process gets the same number of windows; the windows left over differ from epoch to epoch.

    Args:
        expected: (clips,) expected number of windows of each clip per epoch.
        batch_size: Windows of an optimiser step on every process. An epoch is a whole number of steps, at least one.
        seed: Seed of the draws.
        rank: Rank of this process.
        world: Number of processes.
    """

    def __init__(
        self, expected: NDArray[np.float64], *, batch_size: int = 1, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.seed, self.rank, self.world = seed, rank, world
        self.batch_size = batch_size
        self.epoch = 0
        self._cumulative = np.cumsum(expected, dtype=np.float64)
        self._total = max(round(float(self._cumulative[-1])), batch_size * world)
        self._resume_epoch, self._resume_start = -1, 0

    def __len__(self) -> int:
        """Number of windows per epoch on this process, also for a resumed epoch, as Lightning expects."""
        return self._total // self.world // self.batch_size * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def resume(self, epoch: int, start: int) -> None:
        """Skip the first ``start`` windows of ``epoch``, on which an earlier run has trained."""
        self.epoch = self._resume_epoch = epoch
        self._resume_start = start

    def __iter__(self) -> Iterator[WindowDraw]:
        """Yield the windows of this process."""
        clips, draws = self.order(self.epoch)
        mine = slice(self.rank, len(self) * self.world, self.world)
        start = self._resume_start if self.epoch == self._resume_epoch else 0
        for clip, draw in zip(clips[mine][start:].tolist(), draws[mine][start:].tolist(), strict=True):
            yield WindowDraw(clip, self.epoch, draw)

    def order(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the clips and draw numbers of an epoch, for all processes together."""
        generator = np.random.default_rng([self.seed, epoch])
        position = (np.arange(self._total) + generator.random()) * (self._cumulative[-1] / self._total)
        clips = np.searchsorted(self._cumulative, position, side="right").clip(max=len(self._cumulative) - 1)
        draws = generator.permutation(self._total)
        return clips[draws], draws


class ShardSampler(DistributedSampler[int]):
    """Yields every clip once, on one process only, so that no clip is counted twice by any number of processes.

    Args:
        length: Number of clips.
        rank: Number of this process.
        world: Number of processes.
        placeholder: Index that a process without a clip gets, so that it takes part in every collective operation;
            Lightning leaves a process out of an evaluation for which it has no batch. None for no placeholder.
    """

    def __init__(self, length: int, *, rank: int = 0, world: int = 1, placeholder: int | None = None) -> None:
        self.length, self.rank, self.world = length, rank, world
        self.clips: Sequence[int] = range(rank, length, world)
        if placeholder is not None and length and not self.clips:
            self.clips = (placeholder,)

    def __len__(self) -> int:
        return len(self.clips)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the order is the same in every epoch."""

    def __iter__(self) -> Iterator[int]:
        """Yield the clips of this process."""
        return iter(self.clips)
