"""Forced alignment: phoneme times of a known text in a recording, without a trained network.

The built-in synthetic speech knows the exact time of each of its phonemes; dynamic time warping between the two log-mel
spectrograms transfers those times to the recording. It works for any language of eSpeak NG and is meant for scoring: on
GRID utterances, half of the word-initial /b/ and /p/ lie within 40 ms (a video frame) of the corpus's own times.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.audio.mel import HOP, MEL_RATE, log_mel
from expnet.audio.speech_synthesis import PAUSE, Phoneme, synthesize_speech
from expnet.audio.wave import SAMPLE_RATE

BANDS = 20
"""Bands of the compared spectra: few enough that two voices look alike."""
REPETITION = 0.3
"""Cost of repeating a column of either recording, relative to a median distance of 1."""
_PADDING = MEL_RATE // 2  # columns of silence around the synthetic speech, to match silence in the recording


def align_text(samples: NDArray[np.float32], text: str, *, language: str = "en-us") -> tuple[Phoneme, ...]:
    """Align a text with a recording of it.

    Args:
        samples: (S,) Audio at 16 kHz in [-1, 1] in which the text, and nothing else, is said once.
        text: The spoken text.
        language: Name of the language in eSpeak NG.

    Returns:
        Phonemes with times in seconds, with a pause before the first and after the last.

    Raises:
        InputError: The text contains nothing to say.
        MissingAssetError: The ``speech`` extra is not installed.
    """
    spoken = synthesize_speech(text, language=language)
    silence = np.zeros(_PADDING * HOP, np.float32)
    said = _spectra(np.concatenate([silence, spoken.samples, silence]))  # (N, 40)
    recorded = _spectra(samples)  # (M, 40)
    distance = np.linalg.norm(said[:, None] - recorded[None], axis=-1)
    column = _warp(distance / max(float(np.median(distance)), 1e-6))  # (N,)

    def moved(seconds: float) -> float:
        place = float(np.interp(seconds * MEL_RATE + _PADDING, np.arange(len(column)), column)) / MEL_RATE
        return min(place, len(samples) / SAMPLE_RATE)

    phonemes_said = [phoneme for phoneme in spoken.phonemes if phoneme.symbol != PAUSE]
    found = [Phoneme(phoneme.symbol, moved(phoneme.start), moved(phoneme.end)) for phoneme in phonemes_said]
    end = len(samples) / SAMPLE_RATE
    return (Phoneme(PAUSE, 0.0, found[0].start), *found, Phoneme(PAUSE, found[-1].end, end))


def _spectra(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Spectra (N, 2 x 20): each band scaled from its quietest (0) to its loudest (1), and its change over 50 ms."""
    mel = log_mel(torch.as_tensor(samples)).double()  # (80, N)
    bands = mel.reshape(BANDS, -1, mel.shape[1]).mean(1)  # (20, N)
    low, high = torch.quantile(bands, torch.tensor([0.05, 0.95], dtype=torch.float64), dim=1)[..., None]
    bands = ((bands - low) / (high - low).clamp_min(0.1)).clamp(0, 1)
    around = torch.nn.functional.pad(bands, (2, 2), mode="replicate")
    return torch.cat([bands, around[:, 4:] - around[:, :-4]]).T.numpy()


def _warp(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean column (N,) that each row of a distance matrix (N, M) is warped onto at the least cost."""
    rows, columns = distance.shape
    cost = np.full((rows + 1, columns + 1), np.inf)
    cost[0, 0] = 0.0
    for row in range(rows):
        local, above = distance[row], cost[row]
        entered = np.minimum(above[:-1], above[1:] + REPETITION)  # from the row above, diagonally or vertically
        # Along a row, each cell adds its distance and a repetition to its neighbour: a running minimum.
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
