"""Batches of frame pairs that the trained renderer learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass
class FramePairs:
    """B pairs of frames of one clip each: a source, and a frame that it is driven to.

    Args:
        source: (B, 3, S, S) uint8.
        driving: (B, 3, S, S) uint8.
        source_window: (B, E + 6, 27) the source's row, repeated; see `expnet.render.video_renderer.motion_rows`.
        driving_window: (B, E + 6, 27) rows around the driving frame.
        changed: (B, 3, S, S) uint8, the driving frame turned, scaled and shifted.
        changed_window: (B, E + 6, 27) its rows.
        change: (B, 2, 3) the affine map from positions in the driving frame to those in the changed one, from -1 to 1.
        valid: (B,) bool, false for pairs that do not count.
        clip_ids: Name of each pair's clip.
    """

    source: Tensor
    driving: Tensor
    source_window: Tensor
    driving_window: Tensor
    changed: Tensor
    changed_window: Tensor
    change: Tensor
    valid: Tensor
    clip_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.clip_ids)

    def __getitem__(self, part: slice) -> FramePairs:
        """Return some of the pairs."""
        return FramePairs(**{field.name: getattr(self, field.name)[part] for field in fields(self)})

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> FramePairs:
        """Return a copy on another device."""
        tensors = (field.name for field in fields(self) if field.name != "clip_ids")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=non_blocking) for name in tensors})

    def pin_memory(self) -> FramePairs:
        """Return a copy in page-locked memory; the DataLoader calls this if asked to pin memory."""
        tensors = (field.name for field in fields(self) if field.name != "clip_ids")
        return replace(self, **{name: getattr(self, name).pin_memory() for name in tensors})


def join(items: Sequence[FramePairs]) -> FramePairs:
    """Concatenate batches."""
    names = [field.name for field in fields(FramePairs) if field.name != "clip_ids"]
    tensors = {name: torch.cat([getattr(item, name) for item in items]) for name in names}
    return FramePairs(**tensors, clip_ids=tuple(name for item in items for name in item.clip_ids))
