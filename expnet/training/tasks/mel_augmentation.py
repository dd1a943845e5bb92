"""Disturbing the mel spectrogram, so that a network trained on minutes of speech does not learn voices by heart."""

from __future__ import annotations

import torch
from torch import Tensor

from expnet.config import AugmentConfig

SILENCE = -4.0
"""Log-mel of digital silence: the lowest value, `expnet.audio.mel`."""
LOUDEST = 4.0


def augment_mel(mel: Tensor, config: AugmentConfig) -> Tensor:
    """Change voice, loudness, timbre and noise of log-mel windows, and hide stretches and bands (SpecAugment).

    What is hidden takes the window's mean: hidden speech must not look like silence, in which lips are closed.
    Draws from torch's global generator, apart for each example, so that a seeded run stays repeatable.

    Args:
        mel: (B, 80, N) in [-4, 4].
        config: how much of each; all zero returns the input.

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
        # Half of the examples keep a floor below what can be heard.
        height = config.floor * (2 * torch.rand(batch, 1, 1, device=mel.device) - 1)
        mel = torch.maximum(mel, SILENCE + height + 0.3 * torch.randn_like(mel))
    if config.noise:
        mel = mel + config.noise * torch.randn_like(mel)
    mel = mel.clamp(SILENCE, LOUDEST)
    mean = mel.mean(dim=(1, 2), keepdim=True)
    for _ in range(config.time_masks):
        hidden = _stretch(batch, columns, config.time_mask_columns, mel.device)[:, None, :]
        mel = torch.where(hidden, mean, mel)
    for _ in range(config.band_masks):
        hidden = _stretch(batch, bands, config.band_mask_bands, mel.device)[:, :, None]
        mel = torch.where(hidden, mean, mel)
    return mel


def _warp_bands(mel: Tensor, factor: Tensor) -> Tensor:
    """Read band b of example i from band ``b * factor[i]``, linearly interpolated and held at the top: (B, 80, N)."""
    bands = mel.shape[1]
    position = (torch.arange(bands, device=mel.device) * factor[:, None]).clamp(max=bands - 1)  # (B, 80)
    below = position.floor().long().clamp(max=bands - 2)
    share = (position - below)[..., None]
    low, high = (mel.gather(1, index[..., None].expand_as(mel)) for index in (below, below + 1))
    return low * (1 - share) + high * share


def _stretch(batch: int, length: int, longest: int, device: torch.device) -> Tensor:
    """Return (B, length), true in one run of 0 ... longest places in each row."""
    size = (torch.rand(batch, 1, device=device) * (longest + 1)).floor()
    start = (torch.rand(batch, 1, device=device) * (length - size + 1)).floor()
    place = torch.arange(length, device=device)
    return (place >= start) & (place < start + size)
