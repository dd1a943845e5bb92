"""Do these lips and this sound belong together? Two small towers over tracked landmarks and mel, compared lag by lag.

What SyncNet (Chung & Zisserman 2016) does with pictures, on the lips of a face model: identity, light and head pose are
gone before it looks, so that minutes of tracked speech are enough to train it and no picture is needed to use it.

Sign of a lag: that of SyncNet's offset. At lag l the lips of frame t + l meet the sound of frame t: a curve that peaks
at a positive lag says that the sound is early.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expnet.audio.alignment import frames_of_columns
from expnet.coefficients import DEFAULT_FACE_MODEL
from expnet.errors import InputError
from expnet.models.audio_encoder import SequenceEncoder, level_mel

MAX_LAG = 15
"""Frames either way over which lips and sound are compared, as SyncNet does."""
POINTS = (*range(5, 12), *range(48, 68))
"""Of iBUG's 68 landmarks, those that speech moves: the chin, and both rings of the lips."""
# Speech moves the lips faster than a window of so many frames on either side; who a person is and how they feel do not.
_SLOW_FRAMES = 16


class LandmarkSync(nn.Module):
    """Compare the lips of a clip with its sound at every lag.

    Both towers give each frame a vector of length 1; the similarity at a lag is the mean over frames of their products.

    Args:
        width: of the features.
        layers: residual convolutions over time of each tower, five frames wide.
        audio_channels: of the convolutions over the mel.
        dropout: everywhere.
        lip_noise: in training, noise on the landmarks, as a share of their standard deviation.
        lip_gain: in training, standard deviation of the logarithm of how widely a mouth moves.
        face_model: name of the face model that landmarks are of.
    """

    task = "landmark_sync"
    lip_scale: Tensor

    def __init__(
        self,
        *,
        width: int = 64,
        layers: int = 2,
        audio_channels: int = 64,
        dropout: float = 0.2,
        lip_noise: float = 0.1,
        lip_gain: float = 0.3,
        face_model: str = DEFAULT_FACE_MODEL,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.face_model = face_model
        self.lip_noise, self.lip_gain = lip_noise, lip_gain
        self.register_buffer("lip_scale", torch.ones(()))
        self.enter_lips = nn.Linear(3 * len(POINTS), width)
        self.lips = nn.Sequential(*(TimeConvolution(width, dropout) for _ in range(layers)), nn.Linear(width, width))
        self.enter_sound = SequenceEncoder(width, channels=audio_channels, dropout=dropout)
        self.sound = nn.Sequential(*(TimeConvolution(width, dropout) for _ in range(layers)), nn.Linear(width, width))
        # What a frame adds to the logarithm of a lag's likelihood, per unit of similarity.
        self.log_evidence = nn.Parameter(torch.tensor(0.3).log())

    def set_statistics(self, *, mel_std: Tensor, lip_scale: Tensor) -> None:
        """Store the training split's deviation of the mel (80,), and of the coordinates of :data:`POINTS`, a scalar."""
        self.enter_sound.set_statistics(torch.zeros_like(mel_std), mel_std)  # levelled mel is centred already
        self.lip_scale.copy_(lip_scale.clamp_min(1e-6))

    def forward(self, landmarks: Tensor, mel: Tensor, valid: Tensor | None = None) -> Tensor:
        """Similarity of lips and sound if the sound were early by -15 ... 15 frames.

        Args:
            landmarks: (B, T, 68, 3) of the face model, in face units and without head motion, T > 15.
            mel: (B, 80, 2 x 16 + ceil(3.2 T)), see `expnet.audio.alignment.mel_for_frames`.
            valid: (B, T), false for frames that are not to be looked at.

        Returns:
            (B, 31) in [-1, 1].
        """
        return lag_similarities(self.encode_lips(landmarks, valid), self.encode_sound(mel), valid)

    def encode_lips(self, landmarks: Tensor, valid: Tensor | None = None) -> Tensor:
        """Features (B, T, D) of length 1 of the lips of landmarks (B, T, 68, 3)."""
        points = landmarks[:, :, list(POINTS)].flatten(2) / self.lip_scale  # (B, T, 81)
        points = points - local_mean(points, valid)
        if self.training:
            gain = self.lip_gain * torch.randn(len(points), 1, 1, device=points.device)
            points = points * gain.exp() + self.lip_noise * torch.randn_like(points)
        return nn.functional.normalize(self.lips(self.enter_lips(points)), dim=-1)

    def encode_sound(self, mel: Tensor) -> Tensor:
        """Features (B, T, D) of length 1 of mel (B, 80, N)."""
        frames = frames_of_columns(mel.shape[-1])
        x = self.enter_sound(level_mel(mel), frames)  # (B, T, D)
        return nn.functional.normalize(self.sound(x), dim=-1)

    def logits(self, similarities: Tensor, frames: Tensor | int) -> Tensor:
        """Log-likelihoods, up to a constant, of similarities (B, N) that are means over so many frames (B, 1)."""
        return self.log_evidence.exp() * frames * similarities


class TimeConvolution(nn.Module):
    """Residual convolution over five frames of (B, T, D)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, width, 5, padding=2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        y = self.mix(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(nn.functional.gelu(y))


def local_mean(points: Tensor, valid: Tensor | None = None) -> Tensor:
    """Average of points (B, T, C) over the valid frames around each, 16 on either side: (B, T, C)."""
    weight = points.new_ones(points.shape[:2]) if valid is None else valid.to(points.dtype)
    stacked = torch.cat([points * weight[..., None], weight[..., None]], dim=-1).transpose(1, 2)  # (B, C + 1, T)
    sums = nn.functional.avg_pool1d(stacked, 2 * _SLOW_FRAMES + 1, stride=1, padding=_SLOW_FRAMES).transpose(1, 2)
    return sums[..., :-1] / sums[..., -1:].clamp_min(1e-6)


def lag_similarities(lips: Tensor, sound: Tensor, valid: Tensor | None = None) -> Tensor:
    r"""Mean product of the features of lips and sound at each lag, over the frames that both have.

    .. math:: s_l = \frac{1}{n_l} \sum_t v_{t + l} \cdot a_t, \qquad l = -15 \dots 15

    Args:
        lips: (B, T, D), T > 15.
        sound: (B, T, D).
        valid: (B, T) of the lips.

    Returns:
        (B, 31); 0 where no frame is valid.

    Raises:
        InputError: The clip is too short for every lag to have a frame, or the sound is not as long as the lips.
    """
    frames = lips.shape[1]
    if lips.shape != sound.shape or frames <= MAX_LAG:
        raise InputError(
            f"Lips and sound must be equally long and of more than {MAX_LAG} frames; they are {tuple(lips.shape)} and "
            f"{tuple(sound.shape)}."
        )
    weight = lips.new_ones(lips.shape[:2]) if valid is None else valid.to(lips.dtype)
    lips = lips * weight[..., None]
    curve = []
    for lag in range(-MAX_LAG, MAX_LAG + 1):
        seen = slice(max(lag, 0), frames + min(lag, 0))
        heard = slice(max(-lag, 0), frames - max(lag, 0))
        total = (lips[:, seen] * sound[:, heard]).sum(dim=(1, 2))  # (B,)
        curve.append(total / weight[:, seen].sum(dim=1).clamp_min(1.0))
    return torch.stack(curve, dim=1)
