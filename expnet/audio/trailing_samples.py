"""The latest samples of speech that is still arriving, by the numbers of video frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.errors import InputError


class TrailingSamples:
    """Keeps as many of the latest samples as are still needed; the future counts as silence.

    Attributes:
        received: Number of samples that have arrived.
    """

    def __init__(self) -> None:
        self._kept = np.empty(0, np.float32)
        self.received = 0

    def push(self, samples: NDArray[np.floating]) -> None:
        """Add samples (S,) at 16 kHz.

        Raises:
            InputError: The samples are not finite, or not mono.
        """
        samples = checked_chunk(samples)
        self._kept = np.concatenate([self._kept, samples])
        self.received += len(samples)

    def frames(self, begin: int, end: int) -> NDArray[np.float32]:
        """Return the samples (640 T,) of the frames ``begin ... end - 1``; `forget` must not have dropped them."""
        first = self.received - len(self._kept)
        part = self._kept[begin * SAMPLES_PER_FRAME - first : end * SAMPLES_PER_FRAME - first]
        return np.pad(part, (0, (end - begin) * SAMPLES_PER_FRAME - len(part)))

    def forget(self, before: int) -> None:
        """Drop the samples before this frame."""
        first = self.received - len(self._kept)
        self._kept = self._kept[max(before * SAMPLES_PER_FRAME - first, 0) :]


def checked_chunk(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return a chunk of live speech as float32.

    Raises:
        InputError: The samples are not finite, or not mono.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise InputError(f"audio chunk: expected finite mono samples (S,), got shape {samples.shape}.")
    return samples
