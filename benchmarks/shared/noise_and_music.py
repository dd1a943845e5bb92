"""Audio to test networks with: noise and other audio without speech, at stated levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expnet.audio.mel import SAMPLE_RATE

Samples = NDArray[np.float32]


def at_level(samples: Samples, decibels: float) -> Samples:
    """Scale audio to a root mean square level in dB of full scale."""
    root = np.sqrt(np.mean(np.square(samples.astype(np.float64))))
    return np.clip(samples * (10 ** (decibels / 20) / root), -1, 1).astype(np.float32)


def noise(colour: str, samples: int, seed: int = 0) -> Samples:
    """White noise, or pink noise (power 1 / f), which resembles rooms and streets."""
    white = np.random.default_rng(seed).standard_normal(samples)
    if colour == "white":
        return white.astype(np.float32)
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def music(samples: int) -> Samples:
    """Chords of decaying harmonics, two per second, over a bass."""
    time = np.arange(samples) / SAMPLE_RATE
    since = time % 0.5
    chords = np.array([[220.0, 277.2, 329.6], [196.0, 246.9, 293.7], [174.6, 220.0, 261.6], [164.8, 207.7, 246.9]])
    pitches = chords[(time // 0.5).astype(int) % len(chords)]  # (S, 3)
    partials = sum(np.sin(2 * np.pi * pitches * k * since[:, None]).sum(axis=1) / k for k in range(1, 7))
    bass = np.sin(2 * np.pi * pitches[:, 0] / 4 * time)
    return (partials * np.exp(-4 * since) + bass).astype(np.float32)


def hum(samples: int) -> Samples:
    """Mains hum: 50 Hz and its harmonics."""
    time = np.arange(samples) / SAMPLE_RATE
    return sum(np.sin(2 * np.pi * 50 * k * time + k) / k for k in range(1, 9)).astype(np.float32)


def clicks(samples: int) -> Samples:
    """Keyboard clicks or footsteps: bursts of 15 ms, about four per second."""
    generator = np.random.default_rng(1)
    gate = np.zeros(samples)
    for start in np.arange(0.1, samples / SAMPLE_RATE - 0.1, 0.25) + generator.uniform(-0.08, 0.08, 1000)[0]:
        gate[int(start * SAMPLE_RATE) : int((start + 0.015) * SAMPLE_RATE)] = 1
    return (noise("white", samples, 1) * gate).astype(np.float32)
