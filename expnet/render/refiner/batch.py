"""Batches of face regions that a refiner trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass
class RegionBatch:
    """B pairs of a rendered and a real frame, each in R regions.

    Args:
        inputs: (B, R, 10, S, S) uint8, see `expnet.models.refiner.CHANNELS`.
        targets: (B, R, 3, S, S) uint8, the same squares of the real frame.
        gates: (B, R) share of the network's change that is applied, see
            `expnet.render.refiner.region_refiner.PortraitRegions`.
        clip_ids: Name of each pair's clip.
    """

    inputs: Tensor
    targets: Tensor
    gates: Tensor
    clip_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def valid(self) -> Tensor:
        """(B,) all True; `expnet.training.callbacks.throughput.Throughput` counts it."""
        return torch.ones(len(self), dtype=torch.bool, device=self.gates.device)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> RegionBatch:
        """Return a copy on another device."""
        tensors = (field.name for field in fields(self) if field.name != "clip_ids")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=non_blocking) for name in tensors})

    def pin_memory(self) -> RegionBatch:
        """Return a copy in page-locked memory; the DataLoader calls this if asked to pin memory."""
        tensors = (field.name for field in fields(self) if field.name != "clip_ids")
        return replace(self, **{name: getattr(self, name).pin_memory() for name in tensors})


def join(items: Sequence[RegionBatch]) -> RegionBatch:
    """Concatenate batches."""
    return RegionBatch(
        torch.cat([item.inputs for item in items]),
        torch.cat([item.targets for item in items]),
        torch.cat([item.gates for item in items]),
        tuple(name for item in items for name in item.clip_ids),
    )
