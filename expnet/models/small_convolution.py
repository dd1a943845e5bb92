"""Two convolutions over time from audio to expression, the smallest baseline that a larger network has to beat.

In a trial on 69 clips, such a network of width 96 with strong dropout was better than plain Transformers, which
memorised the few training speakers; so it belongs in every comparison on minutes of speech.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expnet.audio.alignment import MEL_CONTEXT
from expnet.audio.mel import MEL_BANDS
from expnet.coefficients import DEFAULT_FACE_MODEL
from expnet.models.audio_encoder import FeatureEncoder, check_mel, level_mel, sample_columns

COLUMNS = (-8, 0, 8)
"""Offsets from a frame's centre, in fifths of a mel column, whose mean pools the 3.2 columns of a frame."""
KERNEL = 7
"""Kernel in frames; two such convolutions cover 13 frames, half a second, like the ridge regression."""


class SmallConvolution(nn.Module):
    """Regresses expression coefficients from the levelled mel with two convolutions of 7 frames.

    ``expression[t] = first_expression + std * head(conv(conv(mel)))[t]``

    Speech features, where it reads them, are projected frame by frame and added to the first convolution's output.

    Args:
        expression_size: Number of coefficients E.
        width: Channels of both convolutions.
        dropout: Dropout of whole channels, after the input and after each convolution.
        speech_features: Source of the speech features that are read besides the mel, the values of an
            `expnet.audio.speech_encoders.FeatureSource`; None for the mel alone.
        face_model: Name of the face model that the coefficients belong to.
        network: Name under which `expnet.models.saved_model` knows this class.
    """

    task = "expression"
    blink = False
    takes_pieces = False
    streaming = False
    frame_by_frame = False
    expression_mean: Tensor
    expression_std: Tensor
    mel_std: Tensor

    def __init__(
        self,
        *,
        expression_size: int = 64,
        width: int = 96,
        dropout: float = 0.4,
        speech_features: dict[str, Any] | None = None,
        face_model: str = DEFAULT_FACE_MODEL,
        network: str = "small_convolution",
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "expression_size": expression_size,
            "width": width,
            "dropout": dropout,
            "speech_features": speech_features,
            "face_model": face_model,
            "network": network,
        }
        self.face_model = face_model
        self.register_buffer("expression_mean", torch.zeros(expression_size))
        self.register_buffer("expression_std", torch.ones(expression_size))
        self.register_buffer("mel_std", torch.ones(MEL_BANDS, 1))
        self.dropout_bands = nn.Dropout1d(dropout / 2)
        self.enter = nn.Conv1d(MEL_BANDS, width, KERNEL, padding=KERNEL // 2)
        self.deepen = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2)
        # The features' share of dropout is that of the mel bands, which they stand beside.
        self.embed_features = (
            FeatureEncoder(speech_features, width, dropout=dropout / 2) if speech_features is not None else None
        )
        self.dropout = nn.Dropout1d(dropout)
        self.head = nn.Linear(width, expression_size)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def set_statistics(
        self,
        *,
        expression_mean: Tensor,
        expression_std: Tensor,
        mel_mean: Tensor,
        mel_std: Tensor,
        expression_metric: Tensor | None = None,
    ) -> None:
        """Store the training split's standard deviations; levelling centres the mel."""
        self.expression_mean.copy_(expression_mean)
        self.expression_std.copy_(expression_std.clamp_min(1e-3))
        self.mel_std.copy_(mel_std.reshape(-1, 1).expand(MEL_BANDS, 1).clamp_min(1e-3))

    def forward(
        self,
        mel: Tensor,
        frames: int,
        first_expression: Tensor,
        blink: Tensor | None = None,
        emotion: Tensor | None = None,
        valid: Tensor | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """Regress the expression of every frame.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)), see `expnet.audio.alignment.mel_for_frames`.
            frames: Number of frames T.
            first_expression: (B, E) coefficients of the first frame.
            blink: Ignored.
            emotion: Ignored.
            valid: (B, T), false where a frame is padding.
            features: (B, T, F) speech features, for a network that was trained on them.

        Returns:
            (B, T, E) coefficients.
        """
        check_mel(mel, frames)
        x = level_mel(mel, valid) / self.mel_std
        centres = 5 * MEL_CONTEXT + 16 * torch.arange(frames, device=mel.device) + 8  # (T,), fifths of a column
        taps = (centres[:, None] + torch.tensor(COLUMNS, device=mel.device)).flatten()  # (3 T,)
        x = sample_columns(x, taps).unflatten(-1, (frames, len(COLUMNS))).mean(dim=-1)  # (B, 80, T)
        # Padded frames are zero, like those that the convolutions add at the ends of a clip.
        keep = x.new_ones(1) if valid is None else valid[:, None].to(x.dtype)  # (B, 1, T)
        x = self.enter(self.dropout_bands(x) * keep)  # (B, D, T)
        if self.embed_features is not None:
            x = x + self.embed_features(features, frames).transpose(1, 2)
        x = self.dropout(nn.functional.gelu(x))
        x = self.dropout(nn.functional.gelu(self.deepen(x * keep)))
        change = self.head(x.transpose(1, 2))  # (B, T, E)
        return first_expression[:, None] + self.expression_std * change
