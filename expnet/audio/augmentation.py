"""Audio augmentations that keep the words and their timing: functions of samples and a random generator.

Each takes float32 samples (S,) at 16 kHz in [-1, 1] and returns as many. All randomness comes from the generator:
seeded by (seed, epoch, window), it gives the same training audio on any number of processes. They are meant for windows
of a few seconds, where each costs milliseconds (`benchmarks/audio_augmentation.py --cost`). None is a
nested function, which could not be pickled: loading processes are spawned on macOS and Windows and get them that way.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
import scipy.signal
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.audio.mel import SAMPLE_RATE

Samples = NDArray[np.float32]
Augmentation = Callable[[Samples, np.random.Generator], Samples]
Voice = Callable[[int, np.random.Generator], Samples]
"""Draws the given number of samples of some speaker's speech."""

LEAST_POWER = 1e-6
"""Least signal power that a signal-to-noise ratio refers to, -60 dB of full scale, so that silence gets noise too."""
# Reverberation: decay time to -60 dB in seconds, from a car to a hall, and power relative to the direct sound in dB.
DECAY_SECONDS = (0.1, 0.7)
ECHO_DECIBELS = (-12.0, 3.0)
TELEPHONE_HERTZ = (300.0, 3400.0)  # ITU-T G.712
LOW_RATE_HERTZ = (2500.0, 7000.0)
COMPANDING = 255.0  # mu of ITU-T G.711
HIGHEST_SNR = 50.0
HIGHEST_BABBLE_SNR = 30.0
MOST_VOICES = 6
LARGEST_DENOMINATOR = 100
"""Of the fraction that a change of speed is rounded to."""
_VOCODER_WINDOW, _VOCODER_HOP = 512, 128


def sometimes(share: float, augmentation: Augmentation) -> Augmentation:
    """Apply an augmentation to a random share of the windows, in [0, 1]."""
    return partial(_apply_sometimes, share, augmentation)


def _apply_sometimes(
    share: float, augmentation: Augmentation, samples: Samples, generator: np.random.Generator
) -> Samples:
    return augmentation(samples, generator) if generator.random() < share else samples


def random_gain(decibels: float) -> Augmentation:
    """Change the volume by up to ``decibels`` in either direction, uniformly in decibels."""
    return partial(_change_gain, decibels)


def _change_gain(decibels: float, samples: Samples, generator: np.random.Generator) -> Samples:
    gain = 10.0 ** (generator.uniform(-decibels, decibels) / 20.0)
    return np.clip(samples * np.float32(gain), -1.0, 1.0)


def random_noise(lowest_snr: float, highest_snr: float = HIGHEST_SNR) -> Augmentation:
    """Add white or pink noise at a signal-to-noise ratio drawn uniformly between two values in decibels.

    The ratio refers to the mean power of the window; a silent window gets noise relative to -60 dB of full scale.
    """
    return partial(_add_noise, (lowest_snr, highest_snr))


def _add_noise(range_of_snr: tuple[float, float], samples: Samples, generator: np.random.Generator) -> Samples:
    noise = generator.standard_normal(len(samples), dtype=np.float32)
    if generator.random() < 0.5:
        # Pink noise, 1 / f in power, is closer to the noise of rooms and streets.
        spectrum = np.fft.rfft(noise)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        spectrum[0] = 0
        noise = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
    return mix(samples, noise, generator.uniform(*range_of_snr))


def random_babble(
    voice: Voice, lowest_snr: float, highest_snr: float = HIGHEST_BABBLE_SNR, *, most_voices: int = MOST_VOICES
) -> Augmentation:
    """Add two to ``most_voices`` other speakers at a signal-to-noise ratio drawn uniformly in decibels."""
    return partial(_add_babble, voice, (lowest_snr, highest_snr), most_voices)


def _add_babble(
    voice: Voice, range_of_snr: tuple[float, float], most_voices: int, samples: Samples, generator: np.random.Generator
) -> Samples:
    babble = draw_babble(voice, len(samples), generator, most_voices=most_voices)
    return mix(samples, babble, generator.uniform(*range_of_snr))


def draw_babble(
    voice: Voice, samples: int, generator: np.random.Generator, *, most_voices: int = MOST_VOICES
) -> NDArray[np.floating]:
    """Return the sum of two to ``most_voices`` equally loud speakers, (samples,)."""
    voices = [voice(samples, generator) for _ in range(generator.integers(2, most_voices + 1))]
    # Equally loud: one voice that stands out would be a second speaker instead of background babble.
    level = [speech / np.sqrt(max(float(np.mean(np.square(speech))), LEAST_POWER)) for speech in voices]
    babble: NDArray[np.floating] = np.sum(level, axis=0)
    return babble


def random_reverberation() -> Augmentation:
    """Add reverberation: exponentially decaying noise after the direct sound (Polack's model of late reverberation).

    The impulse response is ``h[0] = 1``, ``h[n] = g e[n] 10^(-3 n / (16000 T))`` with white noise e, T uniform in
    .1 ... .7 s, and g such that the reverberation has -12 ... 3 dB of the power of the direct sound. The direct sound
    is not delayed and the total power is kept.
    """
    return _reverberate


def _reverberate(samples: Samples, generator: np.random.Generator) -> Samples:
    seconds = generator.uniform(*DECAY_SECONDS)
    time = np.arange(1, int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    echo = generator.standard_normal(len(time)) * 10.0 ** (-3.0 * time / seconds)
    echo *= np.sqrt(10.0 ** (generator.uniform(*ECHO_DECIBELS) / 10.0) / np.sum(np.square(echo)))
    response = np.concatenate([[1.0], echo]).astype(np.float32)
    heard = scipy.signal.fftconvolve(samples, response)[: len(samples)]
    power = np.mean(np.square(samples)) / max(float(np.mean(np.square(heard))), LEAST_POWER)
    return np.clip(heard * np.sqrt(power), -1.0, 1.0).astype(np.float32)


def random_codec() -> Augmentation:
    """Imitate lossy transmission by one of three effects with equal probability.

    A telephone line (300 to 3400 Hz, 8 bits by the mu law of ITU-T G.711), a low bit rate (a low-pass filter at 2.5 to
    7 kHz), or coarse quantisation (6 to 10 bits, mu law).
    """
    return _transmit


def _transmit(samples: Samples, generator: np.random.Generator) -> Samples:
    kind = generator.integers(3)
    if kind == 0:
        return compand(band_limit(samples, *TELEPHONE_HERTZ), bits=8)
    if kind == 1:
        return band_limit(samples, 0.0, generator.uniform(*LOW_RATE_HERTZ))
    return compand(samples, bits=int(generator.integers(6, 11)))


def random_pitch(semitones: float) -> Augmentation:
    """Shift the pitch uniformly by up to ``semitones`` in either direction; syllables keep their timing."""
    return partial(_change_pitch, semitones)


def _change_pitch(semitones: float, samples: Samples, generator: np.random.Generator) -> Samples:
    return shift_pitch(samples, generator.uniform(-semitones, semitones))


def mix(samples: Samples, noise: NDArray[np.floating], snr: float) -> Samples:
    """Add noise at a signal-to-noise ratio in decibels, relative to the mean power of the samples."""
    power = max(float(np.mean(np.square(samples))), LEAST_POWER)
    scale = np.sqrt(power / max(float(np.mean(np.square(noise))), 1e-12)) * 10.0 ** (-snr / 20.0)
    return np.clip(samples + np.float32(scale) * noise, -1.0, 1.0).astype(np.float32)


def band_limit(samples: Samples, lowest: float, highest: float) -> Samples:
    """Keep the frequencies between ``lowest`` and ``highest``, in hertz, with transitions a tenth of these wide."""
    frequencies = np.fft.rfftfreq(len(samples), 1.0 / SAMPLE_RATE)
    keep = np.clip((1.1 * highest - frequencies) / (0.1 * highest), 0.0, 1.0)
    if lowest > 0:
        keep *= np.clip((frequencies - 0.9 * lowest) / (0.1 * lowest), 0.0, 1.0)
    return np.fft.irfft(np.fft.rfft(samples) * keep, len(samples)).astype(np.float32)


def compand(samples: Samples, *, bits: int) -> Samples:
    """Quantise to 2^bits steps in the compressed domain ``F(x) = sign(x) ln(1 + 255 |x|) / ln 256``."""
    steps = 2.0 ** (bits - 1) - 1
    compressed = np.sign(samples) * np.log1p(COMPANDING * np.minimum(np.abs(samples), 1.0)) / np.log1p(COMPANDING)
    rounded = np.round(compressed * steps) / steps
    return (np.sign(rounded) * np.expm1(np.abs(rounded) * np.log1p(COMPANDING)) / COMPANDING).astype(np.float32)


def shift_pitch(samples: Samples, semitones: float) -> Samples:
    """Change the pitch and keep the tempo: stretch the time by a phase vocoder, then resample to the old length.

    Formants shift with the pitch, as those of a smaller or larger speaker do.
    """
    factor = 2.0 ** (semitones / 12.0)
    stretched = change_speed(stretch_time(samples, factor), factor)[: len(samples)]
    return np.clip(np.pad(stretched, (0, len(samples) - len(stretched))), -1.0, 1.0)


def stretch_time(samples: Samples, factor: float) -> Samples:
    """Make audio ``factor`` times as long at the same pitch, with a phase vocoder (Flanagan & Golden 1966)."""
    longer: Samples = stretched(torch.from_numpy(samples), factor).numpy()
    return longer


def stretched(samples: Tensor, factor: float) -> Tensor:
    """`stretch_time` for a tensor (S,) on any device."""
    window = torch.hann_window(_VOCODER_WINDOW, device=samples.device)
    spectrum = torch.stft(
        samples, _VOCODER_WINDOW, _VOCODER_HOP, window=window, pad_mode="constant", return_complex=True
    ).T  # (K, 257)
    columns = len(spectrum)
    place = (torch.arange(round(columns * factor), device=samples.device) / factor).clamp(max=columns - 1.001)
    below = place.long()
    real, imaginary = torch.view_as_real(spectrum).movedim(-1, 0).contiguous()  # apart: on a CPU, much faster
    size, angle = torch.hypot(real, imaginary), torch.atan2(imaginary, real)
    size = torch.lerp(size[below], size[below + 1], (place - below)[:, None])
    # The phase advances by as much in a hop as it does at that place of the input; whole turns change nothing.
    phase = torch.cat([angle[:1], angle.diff(dim=0)[below[:-1]]]).double().cumsum(dim=0)
    phase = phase.sub_((phase / (2.0 * math.pi)).round_(), alpha=2.0 * math.pi).float()  # small angles are faster
    frames = torch.fft.irfft(torch.complex(size * phase.cos(), size * phase.sin())) * window  # (K', 512)
    begin, length = _VOCODER_WINDOW // 2, round(len(samples) * factor)
    longer = _overlap_add(frames)[begin : begin + length]
    longer = longer / _overlap_add(window.square().expand_as(frames))[begin : begin + length].clamp_min(1e-11)
    return torch.nn.functional.pad(longer, (0, length - len(longer)))


def _overlap_add(frames: Tensor) -> Tensor:
    """Add frames (K, 512) that begin 128 samples after one another, (128 (K + 3),). `torch.istft` takes far longer."""
    pieces = frames.unflatten(1, (-1, _VOCODER_HOP))  # (K, 4, 128)
    count = pieces.shape[1]
    added = frames.new_zeros(len(frames) + count - 1, _VOCODER_HOP)
    for place, piece in enumerate(pieces.unbind(1)):
        added[place : place + len(frames)] += piece
    return added.flatten()


def change_speed(samples: Samples, factor: float) -> Samples:
    """Resample so that audio plays ``factor`` times as fast, pitch included, without aliasing.

    The factor is rounded to a fraction with a denominator of at most 100, an error of at most one sample in 10,000.
    """
    ratio = Fraction(factor).limit_denominator(LARGEST_DENOMINATOR)
    return scipy.signal.resample_poly(samples, ratio.denominator, ratio.numerator).astype(np.float32)
