"""Augmentation of training windows: which functions of `expnet.audio.augmentation` apply, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Self

import numpy as np

from expnet.audio import batched_augmentation as batched
from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.augmentation import (
    Augmentation,
    Samples,
    Voice,
    draw_babble,
    random_babble,
    random_codec,
    random_gain,
    random_noise,
    random_pitch,
    random_reverberation,
    sometimes,
)
from expnet.audio.batched_augmentation import BatchedAugmentation
from expnet.config import AudioAugmentationConfig, DisturbanceConfig
from expnet.data.clip_entry import ClipEntry
from expnet.data.silent_windows import SilentRuns

BABBLE_SNR = 5.0
"""Lowest signal-to-noise ratio of babble in decibels: a crowded room."""
SEMITONES = 4.0
"""Largest change of pitch, a third of an octave: half the distance between average female and male voices."""


@dataclass
class WindowAugmentation(AudioAugmentationConfig):
    """How training windows are augmented: the options of the configuration, and what only code can provide.

    Args:
        on_device: Whether the configured augmentations apply to batches on the device of the training.
        silent_runs: Mutes the speech and closes the lips in a share of the windows; None for none.
        further: Further augmentations of the audio, applied before the configured ones.
        reference_share: Share of windows whose first expression and pose are those of a random frame of their clip.
    """

    on_device: bool = False
    silent_runs: SilentRuns | None = None
    further: Sequence[Augmentation] = ()
    reference_share: float = 0.0

    @classmethod
    def from_config(cls, config: AudioAugmentationConfig, silent_runs: SilentRuns | None = None) -> Self:
        """Take the options of a configuration."""
        options = {field.name: getattr(config, field.name) for field in fields(AudioAugmentationConfig)}
        return cls(
            **options,
            on_device=getattr(config, "augment_on", "workers") == "device",
            silent_runs=silent_runs,
            reference_share=getattr(config, "reference_share", 0.0),
        )

    @classmethod
    def none(cls) -> Self:
        """Return options that leave the windows as they are."""
        return cls(gain_decibels=0.0, noise_snr=None)


def audio_augmentations(clips: Sequence[ClipEntry], options: DisturbanceConfig) -> list[Augmentation]:
    """Return the augmentations of the options, in the order of a recording: from the voice to the audio file.

    Args:
        clips: The clips whose speech babble is made of.
        options: Strengths and shares.
    """
    augmentations: list[Augmentation] = []
    if options.pitch:
        augmentations.append(sometimes(options.pitch, random_pitch(SEMITONES)))
    if options.babble:
        augmentations.append(sometimes(options.babble, random_babble(voices_of(clips), BABBLE_SNR)))
    if options.reverberation:
        augmentations.append(sometimes(options.reverberation, random_reverberation()))
    if options.gain_decibels:
        augmentations.append(random_gain(options.gain_decibels))
    if options.noise_snr is not None:
        augmentations.append(random_noise(options.noise_snr))
    if options.codec:
        augmentations.append(sometimes(options.codec, random_codec()))
    return augmentations


def batched_augmentations(options: DisturbanceConfig) -> list[BatchedAugmentation]:
    """Return the same augmentations for batches of windows; babble is drawn where the windows are loaded."""
    augmentations: list[BatchedAugmentation] = []
    if options.pitch:
        augmentations.append(batched.sometimes(options.pitch, batched.random_pitch(SEMITONES)))
    if options.babble:
        augmentations.append(batched.random_babble(BABBLE_SNR))
    if options.reverberation:
        augmentations.append(batched.sometimes(options.reverberation, batched.random_reverberation()))
    if options.gain_decibels:
        augmentations.append(batched.random_gain(options.gain_decibels))
    if options.noise_snr is not None:
        augmentations.append(batched.random_noise(options.noise_snr))
    if options.codec:
        augmentations.append(batched.sometimes(options.codec, batched.random_codec()))
    return augmentations


def babble_of(clips: Sequence[ClipEntry], share: float) -> Voice | None:
    """Return a function that draws the babble of a window, in a share of the windows; None for a share of 0."""
    return partial(_draw_babble, voices_of(clips), share) if share else None


def _draw_babble(voice: Voice, share: float, samples: int, generator: np.random.Generator) -> Samples:
    if generator.random() >= share:
        return np.zeros(samples, np.float32)
    return draw_babble(voice, samples, generator).astype(np.float32)


def voices_of(clips: Sequence[ClipEntry]) -> Voice:
    """Return a function that draws speech of a random clip from a random frame on; short clips are repeated."""
    return partial(_draw_voice, clips)


def _draw_voice(clips: Sequence[ClipEntry], samples: int, generator: np.random.Generator) -> Samples:
    entry = clips[int(generator.integers(len(clips)))]
    first = int(generator.integers(entry.row.frames))
    frames = -(-samples // SAMPLES_PER_FRAME)
    return np.resize(entry.store.read_audio(entry.row, first, frames), samples)
