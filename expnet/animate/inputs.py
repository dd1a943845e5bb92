"""The inputs of an `expnet.animate.animator.Animator`: weights, the speech encoder that they need, recordings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expnet.assets.encoders import find_encoder
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.speech_encoders import FeatureSource, SpeechEncoder, load_speech_encoder
from expnet.audio.stored_samples import Samples, hold
from expnet.audio.wave import MINIMUM_SECONDS, check_length, is_silent, read_blocks
from expnet.errors import InputError
from expnet.models.interfaces import ExpressionNetwork
from expnet.models.packaged_weights import packaged_weights

ImageInput = str | os.PathLike[str] | NDArray[np.uint8]
AudioInput = str | os.PathLike[str] | NDArray[np.floating]
STREAMING = "streaming"
"""Name of the built-in expression network for live speech."""


def weights_or_packaged(path: str | os.PathLike[str] | None, task: str) -> Path:
    """Return the given weights, or the packaged ones of the task."""
    if path == STREAMING and task == "expression":
        return packaged_weights("expression-streaming")
    return packaged_weights(task) if path is None else Path(path)


def open_speech_encoder(expression: ExpressionNetwork, folder: str | os.PathLike[str] | None) -> SpeechEncoder | None:
    """Open the speech encoder that an expression network was trained with; None for a network that needs none.

    Raises:
        InputError: The encoder is missing, is not needed, or has other weights than in training.
    """
    needed = expression.options.get("speech_features")
    if needed is None:
        if folder is not None:
            raise InputError("The expression network reads only the mel: leave the speech encoder out.")
        return None
    source = FeatureSource(**needed)
    folder = find_encoder(source) if folder is None else folder
    if folder is None:
        raise InputError(
            f"The expression network was trained on {source.describe()}: give the folder of those weights with "
            "--speech-encoder, or fetch Whisper's with 'expnet assets fetch whisper-tiny.en'."
        )
    encoder = load_speech_encoder(folder, encoder=source.encoder, layer=source.layer)
    if encoder.source != source:
        raise InputError(
            f"The expression network was trained on {source.describe()}, but {folder} has "
            f"{encoder.source.describe()}: give the same weights."
        )
    return encoder


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
