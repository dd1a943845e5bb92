"""What the motion network hears: features of a published speech network, or the mel where there are none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expnet.config.models import MotionModelConfig
from expnet.errors import InputError
from expnet.models.audio_encoder import FeatureEncoder, SequenceEncoder

REACH = 2
"""Frames on either side in the receptive field of the convolution over frames."""


class SpeechInput(nn.Module):
    """Embeds the speech of every frame, with two frames of context on either side; without speech, a learned vector.

    Args:
        config: Sizes.
        speech_features: Source of the speech features, the values of an
            `expnet.audio.speech_encoders.FeatureSource`; None to read the mel.
    """

    def __init__(self, config: MotionModelConfig, speech_features: dict[str, Any] | None) -> None:
        super().__init__()
        width = config.width
        self.features = (
            FeatureEncoder(speech_features, width, dropout=config.speech_dropout) if speech_features else None
        )
        self.mel = None
        if self.features is None:
            self.mel = SequenceEncoder(width, channels=config.audio_channels, dropout=config.dropout)
        self.context = nn.Conv1d(width, width, 2 * REACH + 1, padding=REACH)
        self.absent = nn.Parameter(torch.zeros(width))

    def forward(self, mel: Tensor | None, features: Tensor | None, frames: int) -> Tensor:
        """Embed a levelled mel (B, 80, N), or features (B, T, F), of T = ``frames``: (B, T, D).

        Raises:
            InputError: The network was trained on what is missing.
        """
        if self.features is not None:
            x = self.features(features, frames)
        else:
            if mel is None:
                raise InputError("This motion network was trained on the mel of the speech: give the mel.")
            assert self.mel is not None
            x = self.mel(mel, frames)
        x = nn.functional.gelu(x)
        return x + self.context(x.transpose(1, 2)).transpose(1, 2)  # (B, T, D)

    def without(self, speech: Tensor, heard: Tensor) -> Tensor:
        """Replace the embedded speech (B, T, D) by the learned vector where ``heard`` (B,) is false."""
        return torch.where(heard[:, None, None], speech, self.absent.to(speech.dtype))
