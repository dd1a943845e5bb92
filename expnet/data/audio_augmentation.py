"""How the audio of training windows is changed: the functions of `expnet.audio.augmentation`, in natural order."""

from collections.abc import Sequence

import numpy as np

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.augmentation import (
    Augmentation,
    Samples,
    Voice,
    random_babble,
    random_codec,
    random_gain,
    random_noise,
    random_pitch,
    random_reverberation,
    sometimes,
)
from expnet.data.clip_entry import ClipEntry

BABBLE_SNR = 5.0
"""Babble is so many decibels below the voice at least: a crowded room."""
SEMITONES = 4.0
"""Pitch is moved by up to a third of an octave: half the way from the middle of women's voices to that of men's."""


def sound_augmentations(
    clips: Sequence[ClipEntry],
    *,
    gain_decibels: float = 0.0,
    noise_snr: float | None = None,
    babble: float = 0.0,
    reverberation: float = 0.0,
    codec: float = 0.0,
    pitch: float = 0.0,
) -> list[Augmentation]:
    """Make the changes that were asked for, from the speaker's throat to the file.

    Args:
        clips: Whose speech babble is made of.
        gain_decibels: Louder or softer by up to so much.
        noise_snr: Signal-to-noise ratio of noise, at least; None for no noise.
        babble: Share of windows with other people in the background.
        reverberation: Share of windows in a room.
        codec: Share of windows through a telephone or a codec.
        pitch: Share of windows with a higher or lower voice.
    """
    changes: list[Augmentation] = []
    if pitch:
        changes.append(sometimes(pitch, random_pitch(SEMITONES)))
    if babble:
        changes.append(sometimes(babble, random_babble(voices_of(clips), BABBLE_SNR)))
    if reverberation:
        changes.append(sometimes(reverberation, random_reverberation()))
    if gain_decibels:
        changes.append(random_gain(gain_decibels))
    if noise_snr is not None:
        changes.append(random_noise(noise_snr))
    if codec:
        changes.append(sometimes(codec, random_codec()))
    return changes


def voices_of(clips: Sequence[ClipEntry]) -> Voice:
    """Draw speech of any of the clips, from any frame on; short clips are repeated."""

    def voice(samples: int, generator: np.random.Generator) -> Samples:
        entry = clips[int(generator.integers(len(clips)))]
        first = int(generator.integers(entry.row.frames))
        frames = -(-samples // SAMPLES_PER_FRAME)
        return np.resize(entry.store.read_audio(entry.row, first, frames), samples)

    return voice
