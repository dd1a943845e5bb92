"""When is each phoneme of a known text said? The text is spoken by the built-in voice and warped onto the recording.

The built-in speech knows the exact time of each of its phonemes; dynamic time warping of the two log-mel spectrograms
carries those times over. It needs no trained network, knows any language that eSpeak NG speaks, and is meant for
scoring: on GRID utterances half of the /b/ and /p/ that start a word come within 40 ms, a video frame, of the corpus's
own times.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.audio.mel import HOP, MEL_RATE, log_mel
from expnet.audio.speech_synthesis import PAUSE, Phoneme, synthesize_speech
from expnet.audio.wave import SAMPLE_RATE

BANDS = 20
"""Bands of the compared spectra: coarse enough that two voices look alike."""
REPETITION = 0.3
"""Cost of dwelling on a column of either recording, against a median distance of 1."""
_PADDING = MEL_RATE // 2  # columns of silence around the built-in voice, for the recording's own to lie on


def align_text(samples: NDArray[np.float32], text: str, *, language: str = "en-us") -> tuple[Phoneme, ...]:
    """Find the phonemes of a text in a recording of it.

    Args:
        samples: (S,) at 16 kHz in [-1, 1], with the text said once and nothing else.
        text: what is said.
        language: eSpeak NG's name of it.

    Returns:
        Phonemes with times in seconds, from a pause before them to one after them.

    Raises:
        InputError: there is nothing to say in the text.
        MissingAssetError: the ``speech`` extra is not installed.
    """
    spoken = synthesize_speech(text, language=language)
    silence = np.zeros(_PADDING * HOP, np.float32)
    said = _spectra(np.concatenate([silence, spoken.samples, silence]))  # (N, 40)
    heard = _spectra(samples)  # (M, 40)
    distance = np.linalg.norm(said[:, None] - heard[None], axis=-1)
    column = _warp(distance / max(float(np.median(distance)), 1e-6))  # (N,)

    def moved(seconds: float) -> float:
        place = float(np.interp(seconds * MEL_RATE + _PADDING, np.arange(len(column)), column)) / MEL_RATE
        return min(place, len(samples) / SAMPLE_RATE)

    sounds = [phoneme for phoneme in spoken.phonemes if phoneme.symbol != PAUSE]
    found = [Phoneme(phoneme.symbol, moved(phoneme.start), moved(phoneme.end)) for phoneme in sounds]
    end = len(samples) / SAMPLE_RATE
    return (Phoneme(PAUSE, 0.0, found[0].start), *found, Phoneme(PAUSE, found[-1].end, end))


def _spectra(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Spectra (N, 2 x 20): each band between its quietest (0) and loudest (1), and its change over 50 ms."""
    mel = log_mel(torch.as_tensor(samples)).double()  # (80, N)
    bands = mel.reshape(BANDS, -1, mel.shape[1]).mean(1)  # (20, N)
    low, high = torch.quantile(bands, torch.tensor([0.05, 0.95], dtype=torch.float64), dim=1)[..., None]
    bands = ((bands - low) / (high - low).clamp_min(0.1)).clamp(0, 1)
    around = torch.nn.functional.pad(bands, (2, 2), mode="replicate")
    return torch.cat([bands, around[:, 4:] - around[:, :-4]]).T.numpy()


def _warp(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Warp the rows of a distance matrix (N, M) onto its columns at the least cost: mean column of each row, (N,)."""
    rows, columns = distance.shape
    cost = np.full((rows + 1, columns + 1), np.inf)
    cost[0, 0] = 0.0
    for row in range(rows):
        local, above = distance[row], cost[row]
        entered = np.minimum(above[:-1], above[1:] + REPETITION)  # from the row above, diagonally or straight down
        # Along the row a cell costs its distance and a repetition more than its neighbour: a running minimum.
        dwelling = np.cumsum(local + REPETITION)
        start = entered + local - dwelling
        cost[row + 1, 1:] = dwelling + np.minimum.accumulate(start)
    total, count = np.zeros(rows), np.zeros(rows)
    row, column = rows, columns
    while row and column:
        total[row - 1] += column - 1
        count[row - 1] += 1
        steps = (cost[row - 1, column - 1], cost[row - 1, column] + REPETITION, cost[row, column - 1] + REPETITION)
        move = int(np.argmin(steps))
        row, column = row - (move != 2), column - (move != 1)
    return total / np.maximum(count, 1)
