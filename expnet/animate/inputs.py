"""The inputs of an `expnet.animate.animator.Animator`: images, and recordings that are loaded and checked."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.stored_samples import Samples, hold
from expnet.audio.wave import MINIMUM_SECONDS, check_length, is_silent, read_blocks
from expnet.errors import InputError

ImageInput = str | os.PathLike[str] | NDArray[np.uint8]
AudioInput = str | os.PathLike[str] | NDArray[np.floating]


def load_speech(audio: AudioInput) -> Samples:
    """Load and check speech: (S,) at 16 kHz, kept in a temporary file where it is long.

    Raises:
        InputError: The audio cannot be read, is too short, or is silent.
    """
    name = "the audio" if isinstance(audio, np.ndarray) else str(audio)
    samples: Samples
    if isinstance(audio, np.ndarray):
        samples = np.asarray(audio, np.float32)
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise InputError(f"{name}: expected finite mono samples (S,), got shape {samples.shape}.")
    else:
        samples = hold(read_blocks(audio))
        check_length(audio, len(samples))
    if len(samples) < MINIMUM_SECONDS * SAMPLE_RATE:
        raise InputError(f"{name}: {len(samples) / SAMPLE_RATE:.2f} s of audio; expected at least {MINIMUM_SECONDS} s.")
    if is_silent(samples):
        raise InputError(f"{name}: the recording is silent; expected speech.")
    return samples
