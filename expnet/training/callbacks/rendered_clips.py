"""Gives the clips that a renderer drew in its validation to the callbacks that score and show them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.callbacks.clip_sample import ClipSample
from expnet.data.clip_entry import ClipEntry

if TYPE_CHECKING:
    from expnet.training.tasks.renderer_task import RenderedClip


class RenderedClips:
    """Turn the output of `expnet.training.tasks.renderer_task.VideoRendererTask` into samples.

    Frame 0 is the source itself, in the generated and in the real clip, as the first frame of a portrait's video is.

    Args:
        entries: Clips of the validation split.
        clips: Names of the clips to show.
    """

    def __init__(self, entries: Collection[ClipEntry], clips: Collection[str]) -> None:
        self._entries = {entry.row.clip_id: entry for entry in entries if entry.row.clip_id in clips}

    def __call__(self, outputs: RenderedClip, batch: Any) -> list[ClipSample]:
        """Return the sample of the batch's clip if it is to be shown, which makes this a `SampleSource`."""
        entry = self._entries.get(outputs.clip_id)
        if entry is None:
            return []
        frames, target = (torch.cat([outputs.source[None], part]).cpu() for part in (outputs.frames, outputs.target))
        track = entry.read()
        audio = torch.from_numpy(track.audio[: len(frames) * SAMPLES_PER_FRAME].copy())
        # Frames that show no face are left out of the clip, and the audio would not fit what remains.
        whole = bool(track.valid[: len(frames)].all())
        return [
            ClipSample(
                outputs.clip_id,
                frames=frames,
                target_frames=target,
                source=outputs.source.cpu(),
                audio=audio if whole else None,
            )
        ]
