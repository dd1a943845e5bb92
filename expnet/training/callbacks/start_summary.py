"""What a training starts with: its clips by split and corpus, its size and its processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

import pytorch_lightning as pl

from expnet.audio.alignment import FRAME_RATE
from expnet.data.clip_entry import ClipEntry

NO_CORPUS = "other clips"


class StartSummary(pl.Callback):
    """Print one line per split, and one about the network and the batch, before the first step.

    Args:
        splits: The clips of each split.
        batch_size: Windows per batch on each process.
        stream: Stream to print to; standard error by default.
    """

    def __init__(
        self, splits: Mapping[str, Sequence[ClipEntry]], batch_size: int, *, stream: TextIO | None = None
    ) -> None:
        self.splits = splits
        self.batch_size = batch_size
        self.stream = stream

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the summary on the first process."""
        if not trainer.is_global_zero:
            return
        parameters = sum(parameter.numel() for parameter in pl_module.parameters() if parameter.requires_grad)
        processes, accumulated = trainer.world_size, trainer.accumulate_grad_batches
        batch = self.batch_size * processes * accumulated
        lines = [f"{split:10s}  {describe_clips(clips)}" for split, clips in self.splits.items()]
        lines.append(
            f"{parameters:,} parameters, {processes} process{'' if processes == 1 else 'es'}, {batch} windows per step"
        )
        stream = self.stream or sys.stderr
        stream.write("\n".join(lines) + "\n")
        stream.flush()


def describe_clips(clips: Sequence[ClipEntry]) -> str:
    """Return the number of clips, speakers and minutes, in total and by corpus if there are several."""
    by_corpus: dict[str, list[ClipEntry]] = {}
    for clip in clips:
        by_corpus.setdefault(clip.row.corpus or NO_CORPUS, []).append(clip)
    total = _counts(clips)
    if len(by_corpus) < 2:
        return total
    parts = (f"{corpus} {_counts(part)}" for corpus, part in sorted(by_corpus.items()))
    return f"{total} ({'; '.join(parts)})"


def _counts(clips: Sequence[ClipEntry]) -> str:
    speakers = len({(clip.row.corpus, clip.row.speaker) for clip in clips})
    minutes = sum(clip.row.frames for clip in clips) / FRAME_RATE / 60
    return f"{_count(len(clips), 'clip')}, {_count(speakers, 'speaker')}, {minutes:.1f} min"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
