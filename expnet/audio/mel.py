"""Log-mel spectrogram of Wav2Lip and SadTalker, in torch, without librosa.

The constants are those of Rudrabha/Wav2Lip:hparams.py and audio.py, identical in
OpenTalker/SadTalker:src/utils/{hparams,audio}.py. librosa is not used, since its first call compiles for many seconds;
the tests compare with it.
"""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

SAMPLE_RATE = 16_000
HOP = 200
WINDOW = 800
MEL_BANDS = 80
MEL_RATE = SAMPLE_RATE // HOP
LOWEST_HERTZ = 55.0
HIGHEST_HERTZ = 7600.0
PRE_EMPHASIS = 0.97
REFERENCE_DECIBEL = 20.0
FLOOR_DECIBEL = -100.0
MAXIMUM = 4.0
SILENCE = -MAXIMUM
"""Value of every band in digital silence."""


def log_mel(samples: Tensor) -> Tensor:
    """Compute the log-mel spectrogram: 80 columns per second, column k centred on sample 200 k, silence outside.

    ``clip(8 (S + 100) / 100 - 4, -4, 4)`` with ``S = 20 log10(max(1e-5, M |STFT(y)|)) - 20``,
    ``y[n] = x[n] - .97 x[n-1]`` and M the Slaney mel filterbank.

    Args:
        samples: (..., S) in [-1, 1] at 16 kHz; float32, or float64 for a reference.

    Returns:
        (..., 80, 1 + S // 200), values in [-4, 4].
    """
    emphasised = pre_emphasis(samples)
    padded = torch.nn.functional.pad(emphasised, (WINDOW // 2, WINDOW // 2))  # (..., S + 800)
    return mel_of_emphasised(padded)


def pre_emphasis(samples: Tensor, previous: Tensor | None = None) -> Tensor:
    """Apply the high-pass filter ``x[n] - .97 x[n-1]`` to samples (..., S).

    Args:
        samples: (..., S).
        previous: (...,) sample before the first one; None for silence.

    Returns:
        (..., S)
    """
    shifted = torch.roll(samples, 1, dims=-1)
    shifted[..., 0] = 0.0 if previous is None else previous
    return samples - PRE_EMPHASIS * shifted


def mel_of_emphasised(samples: Tensor) -> Tensor:
    """Compute the log-mel spectrogram of pre-emphasised samples; column k covers samples 200 k to 200 k + 799.

    Args:
        samples: (..., S), S at least 800.

    Returns:
        (..., 80, 1 + (S - 800) // 200)
    """
    flat = samples.reshape(-1, samples.shape[-1])  # (N, S)
    window = _hann(samples.dtype, samples.device)
    spectrum = torch.stft(flat, WINDOW, HOP, window=window, center=False, return_complex=True)  # (N, 401, K)
    basis = _filterbank(samples.dtype, samples.device)  # (80, 401)
    return _log_scale(basis @ spectrum.abs()).reshape(*samples.shape[:-1], MEL_BANDS, -1)


def mel_of_emphasised_parts(parts: Iterable[Tensor]) -> Tensor:
    """Compute what `mel_of_emphasised` does for a batch of windows that comes in equal parts; has no gradient.

    `torch.stft` and the magnitude of its complex result are slow for many short windows. With one window a part, the
    intermediate values stay in the cache of a CPU. The last bits differ.

    Args:
        parts: (P, S) samples each, S at least 800.

    Returns:
        (B, 80, 1 + (S - 800) // 200) for the B windows of all parts.
    """
    found: list[Tensor] = []
    frames = torch.empty(0)
    for part in parts:
        pieces = part.unfold(-1, WINDOW, HOP)  # (P, K, 800)
        if not found:  # a buffer for all parts: memory that is new to the process costs as much as the arithmetic
            frames = part.new_empty(pieces.shape)
            hann, filters = _hann(part.dtype, part.device), _filterbank(part.dtype, part.device).T  # (800,), (401, 80)
        torch.mul(pieces, hann, out=frames)
        values = torch.view_as_real(torch.fft.rfft(frames)).square_()  # (P, K, 401, 2)
        found.append((values[..., 0] + values[..., 1]).sqrt_() @ filters)
    return _log_scale(torch.cat(found)).transpose(1, 2)


def _log_scale(mel: Tensor) -> Tensor:
    """Convert magnitudes to decibels, -100 to 0 of which are scaled to -4 to 4."""
    decibel = 20.0 * torch.log10(mel.clamp_min(10.0 ** (FLOOR_DECIBEL / 20.0))) - REFERENCE_DECIBEL
    scaled = 2.0 * MAXIMUM * (decibel - FLOOR_DECIBEL) / -FLOOR_DECIBEL - MAXIMUM
    return scaled.clamp(-MAXIMUM, MAXIMUM)


def mel_filterbank(window: int = WINDOW, lowest: float = LOWEST_HERTZ, highest: float = HIGHEST_HERTZ) -> np.ndarray:
    """Return 80 triangular filters on Slaney's mel scale, each of unit area (Auditory Toolbox, 1998).

    The scale is linear below 1000 Hz (200/3 Hz per mel) and logarithmic above (27 mels for a factor of 6.4).

    Args:
        window: Samples of the Fourier transform.
        lowest: Lower edge of the first filter in hertz.
        highest: Upper edge of the last filter in hertz.

    Returns:
        (80, 1 + window // 2)
    """
    edges = _mel_to_hertz(np.linspace(_hertz_to_mel(lowest), _hertz_to_mel(highest), MEL_BANDS + 2))
    bins = np.fft.rfftfreq(window, 1.0 / SAMPLE_RATE)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]


_BREAK_HERTZ = 1000.0
_HERTZ_PER_MEL = 200.0 / 3.0
_LOG_STEP = np.log(6.4) / 27.0


def _hertz_to_mel(hertz: float) -> float:
    if hertz < _BREAK_HERTZ:
        return hertz / _HERTZ_PER_MEL
    return _BREAK_HERTZ / _HERTZ_PER_MEL + float(np.log(hertz / _BREAK_HERTZ)) / _LOG_STEP


def _mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    break_mel = _BREAK_HERTZ / _HERTZ_PER_MEL
    return np.where(
        mel < break_mel,
        mel * _HERTZ_PER_MEL,
        _BREAK_HERTZ * np.exp(_LOG_STEP * (np.maximum(mel, break_mel) - break_mel)),
    )


@lru_cache(maxsize=8)
def _filterbank(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.as_tensor(mel_filterbank(), dtype=dtype, device=device)


@lru_cache(maxsize=8)
def _hann(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.hann_window(WINDOW, periodic=True, dtype=dtype, device=device)
