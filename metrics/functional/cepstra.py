"""Mel-frequency cepstral coefficients as SyncNet was trained on: python_speech_features with its defaults."""

from functools import cache

import torch
from torch import Tensor

SAMPLE_RATE = 16_000
HOP = 160
_WINDOW = 400
_TRANSFORM = 512
_BANDS = 26
_CEPSTRA = 13
_LIFTER = 22
_EMPHASIS = 0.97
_TINY = torch.finfo(torch.float64).eps


def mel_cepstra(audio: Tensor) -> Tensor:
    r"""Return the cepstral coefficients of a recording, 100 columns per second.

    The steps are pre-emphasis 0.97; rectangular windows of 25 ms every 10 ms; a 512-point power spectrum divided by
    512; 26 triangular filters on 0 to 8 kHz with corners at whole bins; the logarithm, with zeros set to 2.2e-16; an
    orthonormal cosine transform, of which the first 13 coefficients are kept; and the lifter
    :math:`1 + 11 \sin(\pi n / 22)`. Coefficient 0 is replaced by the logarithm of the window's energy.

    Samples are scaled to 16-bit integers. Without that, coefficient 0 would be shifted by exactly
    :math:`-2 \ln 32768`, on which a trained network silently gives wrong scores.

    Source: https://github.com/jameslyons/python_speech_features, with which the result agrees to 1e-9.

    Args:
        audio: Mono audio at 16 kHz, (S,) floating point in [-1, 1].

    Returns:
        (13, N) float64 with N = 1 + ceil((S - 400) / 160), at least 1.

    Raises:
        ValueError: ``audio`` is empty, not finite, or of another shape or type.
    """
    signal = pulse_code(audio)
    emphasised = torch.cat([signal[:1], signal[1:] - _EMPHASIS * signal[:-1]])
    columns = 1 + max(0, -((_WINDOW - len(signal)) // HOP))
    padded = torch.nn.functional.pad(emphasised, (0, (columns - 1) * HOP + _WINDOW - len(signal)))
    windows = padded.unfold(0, _WINDOW, HOP)  # (N, 400)
    power = torch.fft.rfft(windows, _TRANSFORM).abs().square() / _TRANSFORM  # (N, 257)
    bands = _logarithm(power @ _triangles().to(signal.device))  # (N, 26)
    cepstra = bands @ _cosines().to(signal.device)  # (N, 13)
    cepstra[:, 0] = _logarithm(power.sum(1))
    return cepstra.T


def pulse_code(audio: Tensor) -> Tensor:
    """Round audio (S,) in [-1, 1] to 16-bit sample values, returned as float64, as FFmpeg writes a wav file."""
    if audio.ndim != 1 or not audio.is_floating_point() or len(audio) == 0:
        raise ValueError(f"audio must be (S,) floating point, got {tuple(audio.shape)} {audio.dtype}")
    if not bool(audio.isfinite().all()):
        raise ValueError("audio must be finite")
    return (audio.double() * 32768.0).round().clamp(-32768.0, 32767.0)


def _logarithm(power: Tensor) -> Tensor:
    return power.where(power > 0, _TINY).log()


@cache
def _triangles() -> Tensor:
    """Return the weights of the mel filters, (257, 26)."""
    top = 2595.0 * torch.log10(torch.tensor(1 + SAMPLE_RATE / 2 / 700.0, dtype=torch.float64))
    mel = torch.linspace(0.0, float(top), _BANDS + 2, dtype=torch.float64)
    corners = ((_TRANSFORM + 1) * 700.0 * (10.0 ** (mel / 2595.0) - 1) / SAMPLE_RATE).floor()  # (28,)
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    bins = torch.arange(_TRANSFORM // 2 + 1, dtype=torch.float64)[:, None]
    return torch.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)).clamp(min=0.0)


@cache
def _cosines() -> Tensor:
    """Return the orthonormal cosine transform with the lifter, (26, 13)."""
    band, order = torch.arange(_BANDS, dtype=torch.float64)[:, None] + 0.5, torch.arange(_CEPSTRA, dtype=torch.float64)
    transform = torch.cos(torch.pi * order * band / _BANDS) * (2.0 / _BANDS) ** 0.5
    transform[:, 0] /= 2.0**0.5
    return transform * (1.0 + _LIFTER / 2.0 * torch.sin(torch.pi * order / _LIFTER))
