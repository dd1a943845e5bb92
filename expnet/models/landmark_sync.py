"""The sync expert: two small towers, over tracked landmarks and mel, whose features are compared at every lag.

It does what SyncNet (Chung & Zisserman 2016) does with images, on the lips of a face model. Identity, light and head
pose are already removed from its input, so minutes of tracked speech suffice to train it, and it needs no images.

The sign of a lag is that of SyncNet's offset. At lag l the lips of frame t + l are compared with the audio of frame t,
so a maximum at a positive lag means that the audio is early.
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
"""Largest lag in frames at which lips and audio are compared, as in SyncNet."""
POINTS = (*range(5, 12), *range(48, 68))
"""The iBUG landmarks that move in speech: the chin and both contours of the lips."""
# The local mean over this many frames on either side holds identity and emotion, which change slower than speech.
_SLOW_FRAMES = 16


class LandmarkSync(nn.Module):
    """Compares the lips of a clip with its audio at every lag.

    Both towers map each frame to a unit vector; the similarity at a lag is the mean of their products over frames.

    Args:
        width: Size of the features D.
        layers: Number of residual convolutions over time in each tower, five frames wide.
        audio_channels: Channels of the convolutions over the mel.
        dropout: Dropout of all layers.
        lip_noise: Noise on the landmarks in training, as a fraction of their standard deviation.
        lip_gain: Standard deviation, in training, of the logarithm of a random gain of the lip motion.
        face_model: Name of the face model of the landmarks.
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
        # Contribution of a frame to the log-likelihood of a lag, per unit of similarity.
        self.log_evidence = nn.Parameter(torch.tensor(0.3).log())

    def set_statistics(self, *, mel_std: Tensor, lip_scale: Tensor) -> None:
        """Store the training split's standard deviations: mel_std (80,), and lip_scale, one for all of `POINTS`."""
        self.enter_sound.set_statistics(torch.zeros_like(mel_std), mel_std)  # levelling centres the mel
        self.lip_scale.copy_(lip_scale.clamp_min(1e-6))

    def forward(self, landmarks: Tensor, mel: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the similarity of lips and audio for audio that is early by -15 ... 15 frames.

        Args:
            landmarks: (B, T, 68, 3) landmarks of the face model, in face units and without head motion, T > 15.
            mel: (B, 80, 2 x 16 + ceil(3.2 T)), see `expnet.audio.alignment.mel_for_frames`.
            valid: (B, T), false for frames to ignore.

        Returns:
            (B, 31) in [-1, 1].
        """
        return lag_similarities(self.encode_lips(landmarks, valid), self.encode_audio(mel), valid)

    def encode_lips(self, landmarks: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return unit features (B, T, D) of the lips for landmarks (B, T, 68, 3)."""
        points = landmarks[:, :, list(POINTS)].flatten(2) / self.lip_scale  # (B, T, 81)
        points = points - local_mean(points, valid)
        if self.training:
            gain = self.lip_gain * torch.randn(len(points), 1, 1, device=points.device)
            points = points * gain.exp() + self.lip_noise * torch.randn_like(points)
        return nn.functional.normalize(self.lips(self.enter_lips(points)), dim=-1)

    def encode_audio(self, mel: Tensor) -> Tensor:
        """Return unit features (B, T, D) of the audio for a mel (B, 80, N)."""
        frames = frames_of_columns(mel.shape[-1])
        x = self.enter_sound(level_mel(mel), frames)  # (B, T, D)
        return nn.functional.normalize(self.sound(x), dim=-1)

    def logits(self, similarities: Tensor, frames: Tensor | int) -> Tensor:
        """Return log-likelihoods, up to a constant, for similarities (B, N) that are means over ``frames`` (B, 1)."""
        return self.log_evidence.exp() * frames * similarities


class TimeConvolution(nn.Module):
    """A residual convolution over five frames of (B, T, D)."""

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
    """Return the mean (B, T, C) of points (B, T, C) over the valid frames around each, 16 on either side."""
    weight = points.new_ones(points.shape[:2]) if valid is None else valid.to(points.dtype)
    stacked = torch.cat([points * weight[..., None], weight[..., None]], dim=-1).transpose(1, 2)  # (B, C + 1, T)
    sums = nn.functional.avg_pool1d(stacked, 2 * _SLOW_FRAMES + 1, stride=1, padding=_SLOW_FRAMES).transpose(1, 2)
    return sums[..., :-1] / sums[..., -1:].clamp_min(1e-6)


def lag_similarities(lips: Tensor, audio: Tensor, valid: Tensor | None = None) -> Tensor:
    r"""Return the mean product of the features of lips and audio at each lag, over the frames that both have.

    .. math:: s_l = \frac{1}{n_l} \sum_t v_{t + l} \cdot a_t, \qquad l = -15 \dots 15

    Args:
        lips: (B, T, D), T > 15.
        audio: (B, T, D).
        valid: (B, T), false for lips to ignore.

    Returns:
        (B, 31); 0 where no frame is valid.

    Raises:
        InputError: The clip is too short for the largest lag, or audio and lips differ in length.
    """
    frames = lips.shape[1]
    if lips.shape != audio.shape or frames <= MAX_LAG:
        raise InputError(
            f"Lips and audio must have the same length of more than {MAX_LAG} frames; they are {tuple(lips.shape)} and "
            f"{tuple(audio.shape)}."
        )
    weight = lips.new_ones(lips.shape[:2]) if valid is None else valid.to(lips.dtype)
    lips = lips * weight[..., None]
    curve = []
    for lag in range(-MAX_LAG, MAX_LAG + 1):
        lip_frames = slice(max(lag, 0), frames + min(lag, 0))
        audio_frames = slice(max(-lag, 0), frames - max(lag, 0))
        total = (lips[:, lip_frames] * audio[:, audio_frames]).sum(dim=(1, 2))  # (B,)
        curve.append(total / weight[:, lip_frames].sum(dim=1).clamp_min(1.0))
    return torch.stack(curve, dim=1)
