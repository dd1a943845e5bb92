"""Random numbers for each row of a batch, from a seed of its own: the same whatever rows it is batched with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SINGLE_NUMBERS = 64  # of a row, drawn at once; all augmentations together draw fewer


class RowGenerators:
    """One random generator for each row of a batch.

    Single numbers are drawn on the CPU, and noise on the device of the batch, so the noise of a CPU and a GPU differs,
    but no draw waits for the device.

    Args:
        seeds: Seed of each row, from 0 to 2^63 - 1.
        device: Device of the numbers that are drawn.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        numbers = torch.empty(len(generators), _SINGLE_NUMBERS)
        for row, generator in zip(numbers, generators, strict=True):
            row.uniform_(generator=generator)
        self._numbers: NDArray[np.float64] = numbers.double().numpy()
        self._drawn = np.zeros(len(generators), np.intp)
        self._rows = np.arange(len(generators))
        if self.device.type != "cpu":
            generators = [torch.Generator(self.device).manual_seed(seed) for seed in seeds]
        self._noise = generators

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, share: float) -> list[int]:
        """Draw which rows are changed, each with probability ``share``."""
        found: list[int] = np.flatnonzero(self._draw() < share).tolist()
        return found

    def uniform(self, low: float, high: float) -> Tensor:
        """Draw a number between two values for each row, (B, 1)."""
        drawn = torch.from_numpy((low + (high - low) * self._draw()).astype(np.float32))
        return drawn[:, None].to(self.device, non_blocking=True)

    def integers(self, low: int, end: int) -> list[int]:
        """Draw an integer in ``low ... end - 1`` for each row."""
        found: list[int] = (low + ((end - low) * self._draw()).astype(int)).tolist()
        return found

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers, (B, *shape)."""
        numbers = torch.empty(len(self), *shape, device=self.device)
        self.fill_normal(numbers)
        return numbers

    def fill_normal(self, rows: Iterable[Tensor]) -> None:
        """Overwrite a tensor for each row with standard normal numbers."""
        for row, number in zip(rows, self._rows, strict=True):
            row.normal_(generator=self._noise[number])

    def of(self, rows: Sequence[int]) -> RowGenerators:
        """Return the generators of some rows, which go on where they are."""
        chosen = RowGenerators((), self.device)
        chosen._numbers, chosen._drawn, chosen._noise = self._numbers, self._drawn, self._noise
        chosen._rows = self._rows[list(rows)]
        return chosen

    def _draw(self) -> NDArray[np.float64]:
        """Draw a number in [0, 1) for each row, (B,)."""
        drawn = self._numbers[self._rows, self._drawn[self._rows]]
        self._drawn[self._rows] += 1
        return drawn
