"""The batch that networks receive: windows, or one whole clip, with named fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

NO_CLIP = -1
"""Index of a whole clip that is no clip: what a process gets that has none to evaluate."""


@dataclass
class FaceBatch:
    """Windows of B clips with T frames each. Coefficients are raw; models normalise them.

    Args:
        mel: (B, 80, 2 * 16 + ceil(3.2 T)) log-mel spectrogram; frame i is centred at column 16 + 3.2 (i + 1/2).
            No columns where a DataModule was told to leave the mel out.
        expression: (B, T, 64) expression coefficients.
        identity: (B, K) identity coefficients.
        rotation: (B, T, 3) absolute rotation in radians.
        translation: (B, T, 3) absolute translation in face units.
        first_expression: (B, 64) expression of the window's first frame, or of another frame of the clip where windows
            with such a reference were asked for.
        first_pose: (B, 6) absolute pose of the same frame.
        blink: (B, T) eyelid closure, from 0 (open) to 1 (closed).
        valid: (B, T) False for padding and for interpolated frames.
        emotion: (B,) index of the emotion, 0 for unknown and neutral.
        style: (B,) index of the training speaker, 0 for unknown.
        frames: (B,) number of frames that are not padding.
        clip_ids: Name of each window's clip.
        first_frame: (B,) first frame of each window in its clip.
        features: (B, T, F) features of a pretrained speech encoder, empty if none are used.
        audio: (B, 640 N) audio of the windows and their context, for features or a spectrogram to be computed in the
            batch, as float32 or as the 16-bit integers of the store; else empty.
        audio_before: (B,) frames of that audio before the window, empty without it.
        audio_inside: (B, 2) first sample of that audio that lies in the clip, and the sample after the last one; the
            rest is silent.
        babble: (B, 640 N) other people's speech to be mixed with the audio, zeros for none; else empty.
        seeds: Seed of each window's augmentation, where that is yet to be done in the batch; else empty.
    """

    mel: Tensor
    expression: Tensor
    identity: Tensor
    rotation: Tensor
    translation: Tensor
    first_expression: Tensor
    first_pose: Tensor
    blink: Tensor
    valid: Tensor
    emotion: Tensor
    style: Tensor
    frames: Tensor
    clip_ids: tuple[str, ...]
    first_frame: Tensor
    features: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 0))
    audio: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    audio_before: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    audio_inside: Tensor = field(default_factory=lambda: torch.zeros(0, 2, dtype=torch.long))
    babble: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    seeds: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def pose(self) -> Tensor:
        """Absolute pose (B, T, 6)."""
        return torch.cat([self.rotation, self.translation], dim=-1)  # (B, T, 6)

    @property
    def relative_pose(self) -> Tensor:
        """Pose relative to ``first_pose`` (B, T, 6), which the pose network learns."""
        return self.pose - self.first_pose[:, None]  # (B, T, 6)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "FaceBatch":
        """Copy on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "FaceBatch":
        """Copy in page-locked memory; the DataLoader calls this where asked to pin."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, function: Any) -> "FaceBatch":
        return replace(self, **{name: function(getattr(self, name)) for name in TENSORS})


TENSORS = tuple(field.name for field in fields(FaceBatch) if field.name not in ("clip_ids", "seeds"))
"""Names of the fields that are tensors."""


def collate(items: Sequence[FaceBatch]) -> FaceBatch:
    """Join batches of windows that are equally long."""
    if len(items) == 1:
        return items[0]
    joined: dict[str, Any] = {name: torch.cat([getattr(item, name) for item in items]) for name in TENSORS}
    clip_ids = tuple(name for item in items for name in item.clip_ids)
    return FaceBatch(**joined, clip_ids=clip_ids, seeds=tuple(seed for item in items for seed in item.seeds))


def without_valid_frames(batch: FaceBatch) -> FaceBatch:
    """Return a batch that takes part in every computation and counts in no score: its frames are all invalid."""
    return replace(batch, valid=torch.zeros_like(batch.valid), clip_ids=("",) * len(batch))
