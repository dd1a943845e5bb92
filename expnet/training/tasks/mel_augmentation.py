"""Augmentation of the mel spectrogram, which keeps a network from overfitting to the voices of minutes of speech."""

from __future__ import annotations

import torch
from torch import Tensor

from expnet.config import AugmentConfig

SILENCE = -4.0
"""Log-mel of digital silence, the lowest value of `expnet.audio.mel`."""
LOUDEST = 4.0
"""The highest value of `expnet.audio.mel`."""


def augment_mel(mel: Tensor, config: AugmentConfig) -> Tensor:
    """Change voice, loudness, timbre and noise of log-mel windows, and mask times and bands (SpecAugment).

    Masked entries take the window's mean: masked speech must not look like silence, in which the lips are closed. All
    numbers are drawn from torch's global generator, anew for each example, so that a seeded run is repeatable.

    Args:
        mel: (B, 80, N) in [-4, 4].
        config: Strength of each augmentation; all 0 returns the input.

    Returns:
        (B, 80, N) in [-4, 4].
    """
    batch, bands, columns = mel.shape
    if config.warp:
        mel = _warp_bands(mel, 1 + config.warp * (2 * torch.rand(batch, device=mel.device) - 1))
    if config.gain:
        mel = mel + config.gain * torch.randn(batch, 1, 1, device=mel.device)
    if config.tilt:
        slope = torch.linspace(-1, 1, bands, device=mel.device)[:, None]  # (80, 1)
        mel = mel + config.tilt * torch.randn(batch, 1, 1, device=mel.device) * slope
    if config.floor:
        # In half of the examples the floor lies below the lowest mel value, where it changes next to nothing.
        height = config.floor * (2 * torch.rand(batch, 1, 1, device=mel.device) - 1)
        mel = torch.maximum(mel, SILENCE + height + 0.3 * torch.randn_like(mel))
    if config.noise:
        mel = mel + config.noise * torch.randn_like(mel)
    mel = mel.clamp(SILENCE, LOUDEST)
    mean = mel.mean(dim=(1, 2), keepdim=True)
    for _ in range(config.time_masks):
        masked = _random_span(batch, columns, config.time_mask_columns, mel.device)[:, None, :]
        mel = torch.where(masked, mean, mel)
    for _ in range(config.band_masks):
        masked = _random_span(batch, bands, config.band_mask_bands, mel.device)[:, :, None]
        mel = torch.where(masked, mean, mel)
    return mel


def _warp_bands(mel: Tensor, factor: Tensor) -> Tensor:
    """Read band b of example i at band ``b * factor[i]``, interpolated linearly and clamped at the top: (B, 80, N)."""
    bands = mel.shape[1]
    position = (torch.arange(bands, device=mel.device) * factor[:, None]).clamp(max=bands - 1)  # (B, 80)
    below = position.floor().long().clamp(max=bands - 2)
    fraction = (position - below)[..., None]
    low, high = (mel.gather(1, index[..., None].expand_as(mel)) for index in (below, below + 1))
    return low * (1 - fraction) + high * fraction


def _random_span(batch: int, length: int, longest: int, device: torch.device) -> Tensor:
    """Return (B, length) bool, true in one random span of 0 to ``longest`` entries in each row."""
    size = (torch.rand(batch, 1, device=device) * (longest + 1)).floor()
    start = (torch.rand(batch, 1, device=device) * (length - size + 1)).floor()
    index = torch.arange(length, device=device)
    return (index >= start) & (index < start + size)
