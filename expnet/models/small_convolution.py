"""Two convolutions along time from sound to expression: the smallest network that a larger one has to beat.

In a trial on 69 clips such a network, 96 wide with strong dropout, did better than the plain Transformers beside it,
which learned the few training people by heart; so it belongs into every comparison on minutes of speech.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expnet.audio.alignment import MEL_CONTEXT
from expnet.audio.mel import MEL_BANDS
from expnet.coefficients import DEFAULT_FACE_MODEL
from expnet.models.audio_encoder import check_mel, level_mel, sample_columns

COLUMNS = (-8, 0, 8)
"""Fifths of a mel column from a frame's centre that a frame is pooled from: together its 3.2 columns."""
KERNEL = 7
"""Frames of each convolution: two of them see 13 frames, half a second, as the ridge regression does."""


class SmallConvolution(nn.Module):
    """Regress expression from levelled mel with two convolutions of 7 frames.

    ``expression[t] = first_expression + std * head(conv(conv(mel)))[t]``

    Args:
        expression_size: E.
        width: channels of both convolutions.
        dropout: of whole channels, after the input and after each convolution.
        face_model: name of the face model that the coefficients belong to.
        network: name under which `expnet.models.saved_model` knows this class.
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
        face_model: str = DEFAULT_FACE_MODEL,
        network: str = "small_convolution",
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "expression_size": expression_size,
            "width": width,
            "dropout": dropout,
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
        """Store the training split's deviations; levelled mel is centred already."""
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
    ) -> Tensor:
        """Regress the expression of every frame.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)), see `expnet.audio.alignment.mel_for_frames`.
            frames: T.
            first_expression: (B, E) coefficients of the first frame.
            blink: not looked at.
            emotion: not looked at.
            valid: (B, T), false where a frame is padding.

        Returns:
            (B, T, E) coefficients.
        """
        check_mel(mel, frames)
        x = level_mel(mel, valid) / self.mel_std
        centres = 5 * MEL_CONTEXT + 16 * torch.arange(frames, device=mel.device) + 8  # (T,), fifths of a column
        taps = (centres[:, None] + torch.tensor(COLUMNS, device=mel.device)).flatten()  # (3 T,)
        x = sample_columns(x, taps).unflatten(-1, (frames, len(COLUMNS))).mean(dim=-1)  # (B, 80, T)
        # Padded frames are as empty as those that the convolutions add at a clip's ends.
        keep = x.new_ones(1) if valid is None else valid[:, None].to(x.dtype)  # (B, 1, T)
        x = self.dropout(nn.functional.gelu(self.enter(self.dropout_bands(x) * keep)))  # (B, D, T)
        x = self.dropout(nn.functional.gelu(self.deepen(x * keep)))
        change = self.head(x.transpose(1, 2))  # (B, T, E)
        return first_expression[:, None] + self.expression_std * change
