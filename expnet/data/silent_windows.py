"""Training windows with silence, in which the lips close: recordings of speech contain hardly any silence.

A network that is trained on speech only takes the average open mouth for the rest position, and moves the lips to
noise, which it has never met alone. In a share of the windows, this module mutes the speech of a run of frames, with
noise throughout the window or without, and closes the mouth of the training target in the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.face.measures import measure, measure_jacobian
from expnet.face.morphable import MorphableModel

Samples = NDArray[np.float32]

SHORTEST_RUN = 12
"""Shortest run in frames: half a second, in which the lips come to rest."""
CLOSED = 0.005
"""Mouth opening of closed lips in outer-eye-corner distances: a quarter of the frames of tracked pauses are below."""
_FADE_FRAMES = 5  # for the lips to close after the speech, and to open before it
_FADE_SAMPLES = 320
_QUIET_SHARE = 1 / 3  # of the runs are digital silence
_NOISE_RATIOS = (0.0, 40.0)  # signal-to-noise ratio in decibels
_SOFTEST_SPEECH = 1e-3  # root mean square; the noise level of a silent window is relative to this


@dataclass(frozen=True)
class SilentRun:
    """Frames of a window without speech.

    Args:
        first: First frame of the run.
        end: Frame after the last one.
        noise: Root mean square of the noise relative to that of the window's audio, 0 for none.
        tilt: Exponent of the noise's power spectrum ``1 / f^tilt``: 0 is white, 1 is pink.
    """

    first: int
    end: int
    noise: float
    tilt: float


class SilentRuns:
    """Draws runs of silence and closes the lips in them.

    Args:
        face: Face model of the coefficients.
        share: Share of the windows that get a run.
    """

    def __init__(self, face: MorphableModel, share: float) -> None:
        self.share = share
        gradient = measure_jacobian(face, ("mouth_opening",))[0]  # (E,)
        self._gradient = gradient.numpy()
        self._opening = float(measure(face, gradient.new_zeros(face.expression_size), ("mouth_opening",))[0])

    def draw(self, frames: int, generator: np.random.Generator) -> SilentRun | None:
        """Draw the run of a window of ``frames`` frames; None for no silence."""
        if generator.random() >= self.share or frames <= SHORTEST_RUN:
            return None
        length = int(generator.integers(SHORTEST_RUN, frames + 1))
        # Runs may begin before the window and end after it, so that its edges are silent as often as its middle.
        first = int(generator.integers(SHORTEST_RUN - length, frames - SHORTEST_RUN + 1))
        noise, tilt = draw_noise(generator)
        return SilentRun(max(first, 0), min(first + length, frames), noise, tilt)

    def close(self, expression: NDArray[np.float32], *runs: SilentRun) -> NDArray[np.float32]:
        """Close the lips during the runs, (T, E) -> (T, E); other frames stay as they are.

        The rest position is the window's mean expression ``m``, moved by the smallest step to a closed mouth: ``m -
        (opening(m) - closed) g / |g|^2``, where ``g`` is the gradient of the opening at the mean face. The lips take
        0.2 s to get there and back, both within the run: they close after the speech ends and open before it resumes.
        A run that begins at frame 0 or ends with the last frame is silent beyond the window, too; one that is cut by
        the window may be given with its ends outside of it.
        """
        frames = np.arange(len(expression))
        near = np.zeros(len(expression))
        for run in runs:
            since = np.inf if run.first == 0 else frames - run.first + 1
            until = np.inf if run.end == len(expression) else run.end - frames
            inside = (frames >= run.first) & (frames < run.end)
            near = np.maximum(near, np.clip(np.minimum(since, until) / _FADE_FRAMES, 0, 1) * inside)
        weight = (near * near * (3 - 2 * near))[:, None]  # (T, 1)
        mean = expression.mean(axis=0)
        excess = self._opening + mean @ self._gradient - CLOSED
        rest = mean - excess * self._gradient / (self._gradient @ self._gradient)
        return (expression + weight * (rest - expression)).astype(np.float32)


def silence(samples: Samples, run: SilentRun, frames: int, margin: int, generator: np.random.Generator) -> Samples:
    """Mute the speech of the run, and add noise to the whole window.

    Args:
        samples: (S,) audio of the window and its context.
        run: The run of silence.
        frames: Frames of the window; a run that reaches its edge continues into the context.
        margin: Frames of context before the window.
        generator: Random generator of the noise.

    Returns:
        (S,)
    """
    begin = 0 if run.first == 0 else (margin + run.first) * SAMPLES_PER_FRAME
    end = len(samples) if run.end == frames else (margin + run.end) * SAMPLES_PER_FRAME
    return mute(samples, [(begin, end)], (run.noise, run.tilt), generator)


def mute(
    samples: Samples, parts: Sequence[tuple[int, int]], noise: tuple[float, float], generator: np.random.Generator
) -> Samples:
    """Mute parts of a recording, and add noise to all of it, so that noise does not give the silence away.

    Args:
        samples: (S,).
        parts: First sample of each muted part, and the sample after its last one.
        noise: Root mean square of the noise relative to that of the audio, and the tilt of its spectrum.
        generator: Random generator of the noise.

    Returns:
        (S,)
    """
    place = np.arange(len(samples))
    muted = np.zeros(len(samples))
    for begin, end in parts:
        # 1 inside and 0 outside, with linear fades of 20 ms.
        inside = np.clip(np.minimum(place - begin, end - place) / _FADE_SAMPLES + 1, 0, 1)
        if begin == 0:
            inside = np.where(place < end, 1.0, inside)
        if end == len(samples):
            inside = np.where(place >= begin, 1.0, inside)
        muted = np.maximum(muted, inside)
    level = max(float(np.sqrt(np.mean(np.square(samples)))), _SOFTEST_SPEECH)
    floor, tilt = noise
    added = coloured_noise(len(samples), tilt, generator) * np.float32(floor * level)
    return np.clip(samples * (1 - muted) + added, -1.0, 1.0).astype(np.float32)


def draw_noise(generator: np.random.Generator) -> tuple[float, float]:
    """Draw the noise under a run of silence: its root mean square relative to the audio's, often 0, and its tilt."""
    ratio = generator.uniform(*_NOISE_RATIOS)
    level = 0.0 if generator.random() < _QUIET_SHARE else 10 ** (-ratio / 20)
    return level, float(generator.random())


def coloured_noise(samples: int, tilt: float, generator: np.random.Generator) -> Samples:
    """Return noise with power spectrum ``1 / f^tilt`` and root mean square 1, (S,)."""
    spectrum = np.fft.rfft(generator.standard_normal(samples).astype(np.float32))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-tilt / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, samples)
    return (noise / max(np.sqrt(np.mean(np.square(noise))), 1e-12)).astype(np.float32)
