"""Features of a long recording in constant memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expnet.audio.speech_encoders.encoder import SpeechEncoder
from expnet.audio.stored_samples import Samples


class SlidingFeatures:
    """Features of a recording that are asked for from beginning to end, in parts that may overlap.

    They are those of the encoder for the whole recording. Each piece is encoded when it is first needed, and frames
    before the latest part are forgotten.

    Args:
        encoder: The speech encoder.
        samples: (S,) whole recording at 16 kHz.
        frames: Number of frames T of the recording.
    """

    def __init__(self, encoder: SpeechEncoder, samples: Samples, frames: int) -> None:
        self._pieces = encoder.pieces(samples, frames)
        self._kept = np.empty((0, encoder.source.size), np.float32)
        self._first = 0

    def __call__(self, first: int, frames: int) -> NDArray[np.float32]:
        """Return the features (T, F) of T frames from ``first`` on.

        Raises:
            ValueError: Frames before those of an earlier call, or after the end, are asked for.
        """
        if first < self._first:
            raise ValueError(f"frame {first} lies before frame {self._first}, from which on features are kept")
        while self._first + len(self._kept) < first + frames:
            piece = next(self._pieces, None)
            if piece is None:
                raise ValueError(f"the recording ends before frame {first + frames}")
            self._kept = np.concatenate([self._kept, piece])
            self._forget(first)
        self._forget(first)
        return self._kept[:frames].copy()

    def _forget(self, before: int) -> None:
        gone = min(before - self._first, len(self._kept))
        self._kept, self._first = self._kept[gone:], self._first + gone
