"""Random numbers for each row of a batch, from a seed of its own: the same whatever rows it is batched with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


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
        self._numbers = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._noise = self._numbers
        if self.device.type != "cpu":
            self._noise = [torch.Generator(self.device).manual_seed(seed) for seed in seeds]

    def __len__(self) -> int:
        return len(self._numbers)

    def rows(self, share: float) -> list[int]:
        """Draw which rows are changed, each with probability ``share``."""
        return [row for row, drawn in enumerate(self._draw()) if drawn < share]

    def uniform(self, low: float, high: float) -> Tensor:
        """Draw a number between two values for each row, (B, 1)."""
        return (low + (high - low) * torch.tensor(self._draw())[:, None]).to(self.device, non_blocking=True)

    def integers(self, low: int, end: int) -> list[int]:
        """Draw an integer in ``low ... end - 1`` for each row."""
        return [low + int((end - low) * drawn) for drawn in self._draw()]

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers, (B, *shape)."""
        numbers = torch.empty(len(self), *shape, device=self.device)
        for row, generator in zip(numbers, self._noise, strict=True):
            row.normal_(generator=generator)
        return numbers

    def of(self, rows: Sequence[int]) -> RowGenerators:
        """Return the generators of some rows, which go on where they are."""
        chosen = RowGenerators((), self.device)
        chosen._numbers = [self._numbers[row] for row in rows]
        chosen._noise = [self._noise[row] for row in rows]
        return chosen

    def _draw(self) -> list[float]:
        """Draw a number in [0, 1) for each row."""
        return [float(torch.rand((), generator=generator)) for generator in self._numbers]
