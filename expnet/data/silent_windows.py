"""Training windows in which the speech falls silent and the lips close: recordings of speech hold next to no silence.

A network that has heard speech only takes the average open mouth for rest, and chatters on noise that it has never met
alone. In a share of the windows a run of frames is silenced here, with noise from first to last or without, and in
it the mouth that is to be learnt shuts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.face.measures import measure, measure_jacobian
from expnet.face.morphable import MorphableModel

Samples = NDArray[np.float32]

SHORTEST_RUN = 12
"""Frames of a run: half a second, within which lips come to rest."""
CLOSED = 0.005
"""Opening of closed lips, in distances of the outer eye corners: a quarter of tracked pauses are below."""
_FADE_FRAMES = 5  # in which lips close after the last sound, and open before the next
_FADE_SAMPLES = 320
_QUIET_SHARE = 1 / 3  # of the runs that are digital silence
_NOISE_RATIOS = (0.0, 40.0)  # decibels by which the window's speech is above the noise
_SOFTEST_SPEECH = 1e-3  # root mean square; noise in a silent window is not softer than that of such speech


@dataclass(frozen=True)
class SilentRun:
    """Frames of a window in which nobody speaks.

    Args:
        first: First of them.
        end: One behind the last of them.
        noise: Root mean square of the noise over that of the window's speech, 0 for none.
        tilt: Exponent of the noise's spectrum, its power being ``1 / f^tilt``: 0 white, 1 pink.
    """

    first: int
    end: int
    noise: float
    tilt: float


class SilentRuns:
    """Silence runs of training windows.

    Args:
        face: Face model of the coefficients.
        share: Share of the windows that have a run.
    """

    def __init__(self, face: MorphableModel, share: float) -> None:
        self.share = share
        gradient = measure_jacobian(face, ("mouth_opening",))[0]  # (E,)
        self._gradient = gradient.numpy()
        self._opening = float(measure(face, gradient.new_zeros(face.expression_size), ("mouth_opening",))[0])

    def draw(self, frames: int, generator: np.random.Generator) -> SilentRun | None:
        """Choose the run of a window of ``frames`` frames, or none."""
        if generator.random() >= self.share or frames <= SHORTEST_RUN:
            return None
        length = int(generator.integers(SHORTEST_RUN, frames + 1))
        # Runs may begin before the window and end after it, so that its edges are as often silent as its middle.
        first = int(generator.integers(SHORTEST_RUN - length, frames - SHORTEST_RUN + 1))
        ratio = generator.uniform(*_NOISE_RATIOS)
        noise = 0.0 if generator.random() < _QUIET_SHARE else 10 ** (-ratio / 20)
        return SilentRun(max(first, 0), min(first + length, frames), noise, float(generator.random()))

    def close(self, expression: NDArray[np.float32], run: SilentRun) -> NDArray[np.float32]:
        """Shut the lips in the run, (T, E) -> (T, E): elsewhere nothing changes.

        The face rests at the window's mean expression ``m``, moved the shortest way to a closed mouth: ``m -
        (opening(m) - closed) g / |g|^2`` with the gradient ``g`` of the opening, linear at the mean face. At the run's
        ends, lips take 0.2 s to get there and back, both inside the run: they close after the sound, and open before.
        """
        frames = np.arange(len(expression))
        since = np.inf if run.first == 0 else frames - run.first + 1
        until = np.inf if run.end == len(expression) else run.end - frames
        near = np.clip(np.minimum(since, until) / _FADE_FRAMES, 0, 1) * ((frames >= run.first) & (frames < run.end))
        weight = (near * near * (3 - 2 * near))[:, None]  # (T, 1)
        mean = expression.mean(axis=0)
        excess = self._opening + mean @ self._gradient - CLOSED
        rest = mean - excess * self._gradient / (self._gradient @ self._gradient)
        return (expression + weight * (rest - expression)).astype(np.float32)


def silence(samples: Samples, run: SilentRun, frames: int, margin: int, generator: np.random.Generator) -> Samples:
    """Mute the run's speech, and lay noise under all of it.

    Args:
        samples: (S,) sound of the window and of its surroundings.
        run: What is silent.
        frames: Of the window; a run that reaches its edge goes on beyond it.
        margin: Frames of ``samples`` before the window.
        generator: Of the noise.

    Returns:
        (S,)
    """
    begin = 0 if run.first == 0 else (margin + run.first) * SAMPLES_PER_FRAME
    end = len(samples) if run.end == frames else (margin + run.end) * SAMPLES_PER_FRAME
    place = np.arange(len(samples))
    # 1 inside, 0 outside, straight lines of 20 ms between.
    inside = np.clip(np.minimum(place - begin, end - place) / _FADE_SAMPLES + 1, 0, 1)
    if begin == 0:
        inside = np.where(place < end, 1.0, inside)
    if end == len(samples):
        inside = np.where(place >= begin, 1.0, inside)
    level = max(float(np.sqrt(np.mean(np.square(samples)))), _SOFTEST_SPEECH)
    noise = coloured_noise(len(samples), run.tilt, generator) * np.float32(run.noise * level)
    return np.clip(samples * (1 - inside) + noise, -1.0, 1.0).astype(np.float32)


def coloured_noise(samples: int, tilt: float, generator: np.random.Generator) -> Samples:
    """Noise of power ``1 / f^tilt`` and root mean square 1, (S,)."""
    spectrum = np.fft.rfft(generator.standard_normal(samples).astype(np.float32))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-tilt / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, samples)
    return (noise / max(np.sqrt(np.mean(np.square(noise))), 1e-12)).astype(np.float32)
