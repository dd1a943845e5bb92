"""Changes of the sound that leave the face as it is: functions of samples and a random generator.

Each takes float32 samples (S,) and returns as many; the DataModule applies a list of them to training windows. The
generator is seeded by (seed, epoch, window), so that a run repeats exactly, with any number of workers.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Augmentation = Callable[[Samples, np.random.Generator], Samples]


def random_gain(decibels: float) -> Augmentation:
    """Louder or softer by up to ``decibels``, uniform in decibels."""

    def apply(samples: Samples, generator: np.random.Generator) -> Samples:
        gain = 10.0 ** (generator.uniform(-decibels, decibels) / 20.0)
        return np.clip(samples * np.float32(gain), -1.0, 1.0)

    return apply


def random_noise(lowest_snr: float, highest_snr: float = 50.0) -> Augmentation:
    """White or pink noise at a signal-to-noise ratio uniform between two values in decibels.

    The ratio is taken against the mean power of the window; a silent window gets noise at -60 dB of full scale.
    """

    def apply(samples: Samples, generator: np.random.Generator) -> Samples:
        noise = generator.standard_normal(len(samples)).astype(np.float32)
        if generator.random() < 0.5:
            # Pink: 1 / f in power, which is nearer to rooms and streets than white noise is.
            spectrum = np.fft.rfft(noise)
            spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
            spectrum[0] = 0
            noise = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
        power = max(float(np.mean(np.square(samples))), 1e-6)
        snr = generator.uniform(lowest_snr, highest_snr)
        scale = np.sqrt(power / max(float(np.mean(np.square(noise))), 1e-12)) * 10.0 ** (-snr / 20.0)
        return np.clip(samples + np.float32(scale) * noise, -1.0, 1.0)

    return apply
