"""The input of the metric callbacks: one validation clip, generated and real."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expnet.errors import InputError


@dataclass(frozen=True, eq=False)
class ClipSample:
    """One clip of T frames at 25 frames/s. Every part but the name is optional; each callback documents what it needs.

    Attributes:
        clip_id: Name of the clip.
        frames: Generated frames, (T, 3, H, W) uint8 RGB.
        target_frames: Real frames, (T, 3, H, W) uint8 RGB.
        audio: (S,) float32 at 16 kHz in [-1, 1], 640 samples per frame.
        landmarks: iBUG landmarks of the generated clip, (T, 68, 2 or 3), in pixels of ``frames``.
        target_landmarks: Landmarks of the real clip, (T, 68, 2 or 3), in pixels of ``target_frames``.
        pose: Head pose of the generated clip, (T, 3 or more); the first three columns are pitch, yaw and roll in
            radians.
        target_pose: Head pose of the real clip, in the same form.
        source: Frame that the generated ones were made from, (3, H, W) uint8 RGB; shown beside them.
        valid: (T,) bool, True where landmarks and pose were tracked rather than interpolated. None means all frames.
    """

    clip_id: str
    frames: Tensor | None = None
    target_frames: Tensor | None = None
    audio: Tensor | None = None
    landmarks: Tensor | None = None
    target_landmarks: Tensor | None = None
    pose: Tensor | None = None
    target_pose: Tensor | None = None
    source: Tensor | None = None
    valid: Tensor | None = None

    def need(self, *names: str) -> tuple[Tensor, ...]:
        """Return the named parts, all of which the callback requires.

        Raises:
            InputError: One of them is None.
        """
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            raise InputError(
                f"The sample of clip {self.clip_id} has no {' and no '.join(missing)}; pass samples=FUNCTION to the "
                f"callback, where the function returns ClipSamples with {', '.join(names)}."
            )
        return tuple(getattr(self, name) for name in names)

    def to(self, device: torch.device | str) -> ClipSample:
        """Return a copy whose tensors are on another device."""
        parts = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in parts.items()}
        return dataclasses.replace(self, **moved)


SampleSource = Callable[[Any, Any], Iterable[ClipSample]]
"""Maps the output of ``validation_step`` and its batch to the clips in the batch."""


def samples_of_outputs(outputs: Any, batch: Any) -> Iterable[ClipSample]:
    """Return ``outputs.samples`` or ``outputs["samples"]``, the default `SampleSource`.

    Raises:
        InputError: The outputs hold no samples.
    """
    samples = outputs.get("samples") if isinstance(outputs, Mapping) else getattr(outputs, "samples", None)
    if samples is None:
        raise InputError(
            "The metric callbacks found no ClipSamples in outputs.samples or outputs['samples'] of validation_step; "
            "return them there, or pass samples=FUNCTION to the callback, called as FUNCTION(outputs, batch)."
        )
    return samples


def picked_frames(frames: int, stride: int) -> list[int]:
    """Return every ``stride``-th frame index, without frame 0, which is often the portrait itself: a perfect copy."""
    return list(range(min(stride, frames - 1), frames, stride))
