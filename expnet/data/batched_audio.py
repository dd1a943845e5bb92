"""Augmented audio and mel spectrograms of whole batches of training windows, on the device of the training.

Loading workers then only read: what took them most of their time runs as batched tensor operations on the device of
the training, in place of one window at a time on a worker's core. Every random number of a window comes from the
window's seed, which is drawn from seed, epoch and draw, so neither the number of workers nor the other windows of a
batch matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from expnet.audio.alignment import mel_for_windows
from expnet.audio.batched_augmentation import BatchedAugmentation, Rows
from expnet.audio.row_generators import RowGenerators
from expnet.data.batch import FaceBatch
from expnet.data.store.shards import INT16_SCALE


@dataclass(frozen=True)
class BatchedAudio:
    """Augments the audio of a batch, and computes its mel spectrogram.

    Args:
        augmentations: Applied in this order.
        mel: Whether to compute the mel spectrogram.
        keep_audio: Whether a speech encoder is still to hear the audio.
    """

    augmentations: Sequence[BatchedAugmentation]
    mel: bool = True
    keep_audio: bool = False

    @torch.no_grad()
    def __call__(self, batch: FaceBatch) -> FaceBatch:
        """Return a batch with a spectrogram, if wanted, and augmented audio, if it is still needed."""
        audio = batch.audio if batch.audio.is_floating_point() else batch.audio.float().mul_(1.0 / INT16_SCALE)
        first, end = batch.audio_inside.unsqueeze(-1).unbind(1)  # (B, 1) each
        babble = batch.babble if batch.babble.numel() else None
        rows = Rows(RowGenerators(batch.seeds, audio.device), end - first, babble)
        for augmentation in self.augmentations:
            audio = augmentation(audio, rows)
        frames = batch.expression.shape[1]
        mel = mel_for_windows(audio, batch.audio_before, frames, batch.audio_inside) if self.mel else batch.mel
        empty = audio.new_zeros(len(batch), 0)
        return replace(batch, mel=mel, audio=audio if self.keep_audio else empty, babble=empty, seeds=())
