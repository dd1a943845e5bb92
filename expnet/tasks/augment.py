"""Disturbing the mel spectrogram, so that a network trained on minutes of speech does not learn voices by heart."""

from __future__ import annotations

import torch
from torch import Tensor

from expnet.config import AugmentConfig

SILENCE = -4.0
"""Log-mel of digital silence: the lowest value, `expnet.audio.mel`."""
LOUDEST = 4.0


def augment_mel(mel: Tensor, config: AugmentConfig) -> Tensor:
    """Change loudness, timbre and noise of log-mel windows, and put stretches and bands to silence (SpecAugment).

    Draws from torch's global generator, apart for each example, so that a seeded run stays repeatable.

    Args:
        mel: (B, 80, N) in [-4, 4].
        config: how much of each; all zero returns the input.

    Returns:
        (B, 80, N) in [-4, 4].
    """
    batch, bands, columns = mel.shape
    if config.gain:
        mel = mel + config.gain * torch.randn(batch, 1, 1, device=mel.device)
    if config.tilt:
        slope = torch.linspace(-1, 1, bands, device=mel.device)[:, None]  # (80, 1)
        mel = mel + config.tilt * torch.randn(batch, 1, 1, device=mel.device) * slope
    if config.noise:
        mel = mel + config.noise * torch.randn_like(mel)
    for _ in range(config.time_masks):
        mel = mel.masked_fill(_stretch(batch, columns, config.time_mask_columns, mel.device)[:, None, :], SILENCE)
    for _ in range(config.band_masks):
        mel = mel.masked_fill(_stretch(batch, bands, config.band_mask_bands, mel.device)[:, :, None], SILENCE)
    return mel.clamp(SILENCE, LOUDEST)


def _stretch(batch: int, length: int, longest: int, device: torch.device) -> Tensor:
    """Return (B, length), true in one run of 0 ... longest places in each row."""
    size = (torch.rand(batch, 1, device=device) * (longest + 1)).floor()
    start = (torch.rand(batch, 1, device=device) * (length - size + 1)).floor()
    place = torch.arange(length, device=device)
    return (place >= start) & (place < start + size)
