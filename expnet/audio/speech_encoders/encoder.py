"""What a speech encoder is, and how one is opened."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expnet.audio.stored_samples import Samples

ENCODERS = ("whisper", "hubert", "wavlm", "wav2vec2")
"""Supported networks, by the ``model_type`` of their config.json."""


@dataclass(frozen=True)
class FeatureSource:
    """Identity of speech features; a network trained on features needs features of the same source.

    Attributes:
        encoder: One of `ENCODERS`.
        layer: Transformer block whose output they are, from 1; 0 for the input of the first block.
        size: F, values per frame.
        sha256: Checksum of the weights.
    """

    encoder: str
    layer: int
    size: int
    sha256: str

    def describe(self) -> str:
        """Return a short description for error messages."""
        return f"layer {self.layer} of {self.encoder} weights with the sha256 {self.sha256[:12]}..."

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for files and the options of networks."""
        return dataclasses.asdict(self)


class SpeechEncoder(Protocol):
    """Turns a recording into features."""

    source: FeatureSource

    def __call__(self, samples: Samples, frames: int) -> NDArray[np.float32]:
        """Encode a recording.

        Args:
            samples: (S,) whole recording at 16 kHz; cut or padded with silence to ``640 frames`` samples.
            frames: T, number of video frames.

        Returns:
            (T, F)
        """

    def pieces(self, samples: Samples, frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield the same features piece by piece, (n, F) each, in memory that does not grow with the recording."""


def load_speech_encoder(
    path: str | os.PathLike[str], *, encoder: str | None = None, layer: int | None = None, device: str = "cpu"
) -> SpeechEncoder:
    """Open the speech encoder in a file or folder.

    Args:
        path: Whisper: a safetensors file, CTranslate2's ``model.bin``, or a folder with either. Other networks: a
            folder with ``config.json`` and safetensors weights, as published.
        encoder: The one of `ENCODERS` that it must be; None accepts any.
        layer: Transformer block whose output is taken; None for the encoder's usual one: the third block of Whisper,
            the last block of the others.
        device: Device to run on.

    Raises:
        InputError: There is no such encoder at the path, or it has no such layer.
        MissingAssetError: The encoder needs the transformers package, which is not installed.
    """
    from expnet.audio.speech_encoders.self_supervised import SelfSupervisedEncoder
    from expnet.audio.speech_encoders.whisper import WhisperSpeechEncoder
    from expnet.audio.speech_encoders.whisper_weights import holds_whisper

    if encoder == "whisper" or (encoder is None and holds_whisper(path)):
        return WhisperSpeechEncoder(path, layer=layer, device=device)
    return SelfSupervisedEncoder(path, encoder=encoder, layer=layer, device=device)
