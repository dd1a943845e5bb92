"""The augmentations of `expnet.audio.augmentation` for batches of windows, on the device of the training.

Each takes audio (B, S) at 16 kHz in [-1, 1] and what is known of its rows, and returns audio of the same shape. A row
is changed as the function of the same name there changes it, with other random numbers, whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import scipy.fft
import torch
from torch import Tensor
from torch.nn.functional import pad

from expnet.audio.augmentation import (
    COMPANDING,
    DECAY_SECONDS,
    ECHO_DECIBELS,
    HIGHEST_BABBLE_SNR,
    HIGHEST_SNR,
    LEAST_POWER,
    LOW_RATE_HERTZ,
    TELEPHONE_HERTZ,
    stretched,
)
from expnet.audio.batched_resampling import change_speeds
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.row_generators import RowGenerators


@dataclass(frozen=True)
class Rows:
    """What the augmentations know of the rows of a batch.

    Args:
        generators: Random numbers of each row.
        samples: (B, 1) number of samples in the clip, to which signal-to-noise ratios refer; the rest is silent.
        babble: (B, S) other people's speech, zeros in a row without; None for none.
    """

    generators: RowGenerators
    samples: Tensor
    babble: Tensor | None = None

    def of(self, rows: Sequence[int]) -> Rows:
        """Return some of the rows."""
        babble = None if self.babble is None else self.babble[rows]
        return Rows(self.generators.of(rows), self.samples[rows], babble)


BatchedAugmentation = Callable[[Tensor, Rows], Tensor]


def sometimes(share: float, augmentation: BatchedAugmentation) -> BatchedAugmentation:
    """Apply an augmentation to a random share of the rows, in [0, 1]."""

    def apply(audio: Tensor, rows: Rows) -> Tensor:
        chosen = rows.generators.rows(share)
        if not chosen:
            return audio
        changed = audio.clone()
        changed[chosen] = augmentation(audio[chosen], rows.of(chosen))
        return changed

    return apply


def random_gain(decibels: float) -> BatchedAugmentation:
    """Change the volume by up to ``decibels`` in either direction, uniformly in decibels."""

    def apply(audio: Tensor, rows: Rows) -> Tensor:
        return (audio * 10.0 ** (rows.generators.uniform(-decibels, decibels) / 20.0)).clamp_(-1.0, 1.0)

    return apply


def random_noise(lowest_snr: float, highest_snr: float = HIGHEST_SNR) -> BatchedAugmentation:
    """Add white or pink noise at a signal-to-noise ratio drawn uniformly between two values in decibels."""

    def apply(audio: Tensor, rows: Rows) -> Tensor:
        pink = rows.generators.rows(0.5)
        snr = rows.generators.uniform(lowest_snr, highest_snr)
        noise = torch.empty_like(audio)
        white = [row for row in range(len(audio)) if row not in set(pink)]
        rows.generators.of(white).fill_normal([noise[row] for row in white])
        if pink:
            noise[pink] = _pink(rows.generators.of(pink).normal(audio.shape[1] + 2))
        return mix(audio, noise, snr, rows.samples, out=noise)

    return apply


def random_babble(lowest_snr: float) -> BatchedAugmentation:
    """Add the babble of the rows at a signal-to-noise ratio drawn uniformly in decibels; zeros add nothing."""

    def apply(audio: Tensor, rows: Rows) -> Tensor:
        if rows.babble is None:
            return audio
        return mix(audio, rows.babble, rows.generators.uniform(lowest_snr, HIGHEST_BABBLE_SNR), rows.samples)

    return apply


def random_reverberation() -> BatchedAugmentation:
    """Add reverberation: exponentially decaying noise after the direct sound, as the unbatched function does."""
    longest = int(DECAY_SECONDS[1] * SAMPLE_RATE)

    def apply(audio: Tensor, rows: Rows) -> Tensor:
        seconds = rows.generators.uniform(*DECAY_SECONDS)
        decibels = rows.generators.uniform(*ECHO_DECIBELS)
        time = torch.arange(1, longest, device=audio.device) / SAMPLE_RATE  # (R,)
        echo = rows.generators.normal(longest - 1) * 10.0 ** (-3.0 * time / seconds) * (time < seconds)  # (B, R)
        echo *= (10.0 ** (decibels / 10.0) / echo.square().sum(dim=1, keepdim=True)).sqrt()
        response = pad(echo, (1, 0), value=1.0)
        length: int = scipy.fft.next_fast_len(audio.shape[1] + longest - 1, real=True)
        heard = torch.fft.irfft(torch.fft.rfft(audio, length) * torch.fft.rfft(response, length), length)
        heard = heard[:, : audio.shape[1]]
        power = _power(audio, rows.samples) / _power(heard, rows.samples).clamp_min(LEAST_POWER)
        return (heard * power.sqrt()).clamp(-1.0, 1.0)

    return apply


def random_codec() -> BatchedAugmentation:
    """Imitate lossy transmission by a telephone line, a low bit rate or coarse quantisation, equally often."""

    def apply(audio: Tensor, rows: Rows) -> Tensor:
        kinds = torch.tensor(rows.generators.integers(0, 3), device=audio.device)[:, None]  # (B, 1)
        low_rate = rows.generators.uniform(*LOW_RATE_HERTZ)
        bits = torch.tensor(rows.generators.integers(6, 11), device=audio.device)[:, None]
        telephone, quantised = kinds == 0, kinds == 2
        lowest = torch.where(telephone, TELEPHONE_HERTZ[0], 0.0)
        highest = torch.where(telephone, TELEPHONE_HERTZ[1], low_rate)
        filtered = torch.where(quantised, audio, band_limit(audio, lowest, highest))
        return torch.where(kinds == 1, filtered, compand(filtered, torch.where(telephone, 8, bits)))

    return apply


def random_pitch(semitones: float) -> BatchedAugmentation:
    """Shift the pitch uniformly by up to ``semitones`` in either direction; syllables keep their timing."""

    def apply(audio: Tensor, rows: Rows) -> Tensor:
        factors = (2.0 ** (rows.generators.uniform(-semitones, semitones) / 12.0)).flatten().tolist()
        samples = audio.shape[1]
        longer = [stretched(row, factor) for row, factor in zip(audio, factors, strict=True)]
        return change_speeds(longer, factors, samples).clamp_(-1.0, 1.0)

    return apply


def mix(audio: Tensor, noise: Tensor, snr: Tensor, samples: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Add noise (B, S) at signal-to-noise ratios in decibels, (B, 1), relative to the mean power of each row.

    The result is written to ``out``, which may be the noise, where one is given.
    """
    power = _power(audio, samples).clamp_min(LEAST_POWER)
    scale = (power / _power(noise, noise.shape[1]).clamp_min(1e-12)).sqrt() * 10.0 ** (-snr / 20.0)
    return torch.addcmul(audio, scale, noise, out=out).clamp_(-1.0, 1.0)


def band_limit(audio: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Keep the frequencies between two values of each row, (B, 1) in hertz; a lowest of 0 keeps all below."""
    frequencies = torch.fft.rfftfreq(audio.shape[1], 1.0 / SAMPLE_RATE, device=audio.device)
    keep = ((1.1 * highest - frequencies) / (0.1 * highest)).clamp(0.0, 1.0)  # (B, F)
    rising = ((frequencies - 0.9 * lowest) / (0.1 * lowest).clamp_min(1e-9)).clamp(0.0, 1.0)
    keep = keep * torch.where(lowest > 0, rising, 1.0)
    return torch.fft.irfft(torch.fft.rfft(audio) * keep, audio.shape[1])


def compand(audio: Tensor, bits: Tensor) -> Tensor:
    """Quantise each row to 2^bits steps, (B, 1), in the compressed domain of the mu law."""
    steps = 2.0 ** (bits - 1) - 1
    full = torch.log1p(audio.new_tensor(COMPANDING))
    rounded = (torch.log1p(COMPANDING * audio.abs().clamp_max(1.0)) / full * steps).round() / steps
    return audio.sign() * torch.expm1(rounded * full) / COMPANDING


def _pink(numbers: Tensor) -> Tensor:
    """Turn normal numbers (B, S + 2), S even, into noise of the power spectrum 1 / f, (B, S); they are overwritten.

    The numbers are taken as real and imaginary parts of the spectrum, which saves a transform of white noise.
    """
    shape = _pink_shape(numbers.shape[1], numbers.device)
    spectrum = torch.view_as_complex(numbers.mul_(shape).unflatten(1, (-1, 2)))  # (B, S / 2 + 1)
    return torch.fft.irfft(spectrum, numbers.shape[1] - 2)


@lru_cache(maxsize=4)
def _pink_shape(length: int, device: torch.device) -> Tensor:
    """Return the amplitudes of pink noise, ``f^-1/2``, each twice, for real and imaginary part; none at 0."""
    order = torch.arange(1, length // 2, device=device).repeat_interleave(2)
    return pad(order.rsqrt(), (2, 0))  # (S + 2,)


def _power(audio: Tensor, samples: Tensor | int) -> Tensor:
    """Mean power of the samples in the clip, (B, S), (B, 1) -> (B, 1); audio outside the clip is silent."""
    return torch.linalg.vector_norm(audio, dim=1, keepdim=True).square_() / samples
