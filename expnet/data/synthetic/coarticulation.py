"""From a row of phonemes to smooth movements of the lips.

Dominance functions after Cohen and Massaro, "Modeling coarticulation in synthetic visual speech" (1993): every sound
pulls at every articulator, most where it is spoken and less with distance in time,

    value(t) = sum_s a_s D_s(t) target_s / sum_s a_s D_s(t),    D_s(t) = exp(-distance_s(t) / tau)

with tau for each articulator: rounding begins well before its vowel, a closing of the lips does not. Fast speech
overlaps more and so reaches its targets less, with no rule of its own. What must not blur is imposed afterwards: lips
touch on p, b and m and stay together in silence.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from expnet.audio.alignment import FRAME_RATE
from expnet.audio.speech_synthesis import PAUSE, Phoneme
from expnet.data.synthetic.visemes import ARTICULATORS, REST, Viseme, is_stressed, visemes_of

STEPS_PER_FRAME = 4
"""Movements are computed 100 times a second and then sampled in the middle of each frame."""

# Reach of a sound in seconds, before and after it, in the order of ARTICULATORS (lips anticipate more than they keep).
_REACH_BEFORE = np.array([0.042, 0.055, 0.065, 0.085, 0.030, 0.036])
_REACH_AFTER = np.array([0.036, 0.055, 0.055, 0.060, 0.028, 0.032])
_CORE = 0.22  # share of a sound's length on either side of its middle where it pulls with full force
_STRESS_GAIN = 1.18
_SMOOTHING = 0.014  # standard deviation in seconds of the inertia of the lips

_OPENING = ARTICULATORS.index("opening")
_PRESS = ARTICULATORS.index("press")

_CLOSING_RAMP = 0.050  # seconds in which lips meet and part around a closure
_PAUSE_RAMP = 0.11
_SHORTEST_CLOSED_PAUSE = 0.22
_BURST = 0.012  # a voiceless p parts the lips this long after its event, which eSpeak NG puts at the burst
_HELD_BEFORE = 0.055  # and its closure is booked on the sound before it
_HELD_SHARE = 0.5  # of which it takes no more than this share


def articulate(phonemes: Sequence[Phoneme], frames: int) -> NDArray[np.float64]:
    """Move the articulators through an utterance.

    Args:
        phonemes: in time order; times in seconds from the clip's start. Time not covered is silence.
        frames: number of video frames T at 25 a second.

    Returns:
        (T, 6) values of ``ARTICULATORS`` in the middle of each frame. The opening is 0 on every frame whose middle
        lies in a bilabial closure or in a silence, and on at least one frame of each bilabial.
    """
    times = (np.arange(frames * STEPS_PER_FRAME) + 0.5) / (FRAME_RATE * STEPS_PER_FRAME)  # (S,)
    row = _with_silence(phonemes, frames / FRAME_RATE)
    values = _blend(_pulls(row), times)  # (S, 6)
    values = gaussian_filter1d(values, _SMOOTHING * FRAME_RATE * STEPS_PER_FRAME, axis=0, mode="nearest")
    at_frames = values.reshape(frames, STEPS_PER_FRAME, -1)[:, 1:3].mean(axis=1)  # the two steps about the middle
    middles = (np.arange(frames) + 0.5) / FRAME_RATE
    shut = _closure(row, middles)
    pressed = shut * (at_frames[:, _PRESS] > 0.15)
    at_frames[:, _OPENING] *= 1.0 - shut
    at_frames[:, _PRESS] = np.maximum(at_frames[:, _PRESS] * (0.3 + 0.7 * shut), pressed * at_frames[:, _PRESS])
    return at_frames


def _with_silence(phonemes: Sequence[Phoneme], length: float) -> list[Phoneme]:
    """Fill holes and both ends with pauses, and join neighbouring pauses."""
    row: list[Phoneme] = []
    position = 0.0

    def add(symbol: str, start: float, end: float) -> None:
        if row and symbol == PAUSE == row[-1].symbol:
            row[-1] = Phoneme(PAUSE, row[-1].start, end)
        elif end > start:
            row.append(Phoneme(symbol, start, end))

    for phoneme in phonemes:
        if phoneme.start > position + 1e-6:
            add(PAUSE, position, phoneme.start)
        add(phoneme.symbol or PAUSE, max(phoneme.start, position), phoneme.end)
        position = max(position, phoneme.end)
    if position < length:
        add(PAUSE, position, length)
    return row


_Pull = tuple[Viseme, float, float, float]


def _pulls(row: Sequence[Phoneme]) -> list[_Pull]:
    """List (viseme, gain on its strengths, middle, half length of its core) of every viseme of every phoneme."""
    pulls = []
    for phoneme in row:
        visemes = visemes_of(phoneme.symbol)
        length = (phoneme.end - phoneme.start) / len(visemes)
        gain = _STRESS_GAIN if is_stressed(phoneme.symbol) else 1.0
        for index, viseme in enumerate(visemes):
            middle = phoneme.start + (index + 0.5) * length
            core = _CORE * length
            if viseme is REST:
                core = max(0.5 * length - 0.06, 0.0)  # silence holds until shortly before speech
            pulls.append((viseme, gain if viseme.vowel else 1.0, middle, core))
    return pulls


def _blend(pulls: list[_Pull], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean of all targets at all times, (S, 6)."""
    targets = np.array([viseme.targets for viseme, *_ in pulls])  # (P, 6)
    gain, middle, core = (np.array(column) for column in list(zip(*pulls, strict=True))[1:])
    strengths = np.array([viseme.strengths for viseme, *_ in pulls]) * gain[:, None]  # (P, 6)
    offset = times[:, None] - middle  # (S, P) positive after the sound
    distance = np.maximum(np.abs(offset) - core, 0.0)
    values = np.empty((len(times), len(ARTICULATORS)))
    for index in range(len(ARTICULATORS)):
        reach = np.where(offset < 0.0, _REACH_BEFORE[index], _REACH_AFTER[index])
        weight = strengths[:, index] * np.exp(-distance / reach) + 1e-12
        values[:, index] = weight @ targets[:, index] / weight.sum(axis=1)
    return values


def _closure(row: Sequence[Phoneme], middles: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the lips must be shut in each frame, 0 to 1, for bilabials and silences: (T,)."""
    shut = np.zeros(len(middles))
    for index, phoneme in enumerate(row):
        if phoneme.symbol == PAUSE:
            first, last = index == 0, index == len(row) - 1
            if phoneme.end - phoneme.start < _SHORTEST_CLOSED_PAUSE and not (first or last):
                continue
            begin = phoneme.start if first else phoneme.start + 0.7 * _PAUSE_RAMP
            end = phoneme.end if last else phoneme.end - 0.7 * _PAUSE_RAMP
            shut = np.maximum(shut, _trapezoid(middles, begin, max(end, begin), _PAUSE_RAMP))
        elif visemes_of(phoneme.symbol)[0].closure:
            begin, end = _held(phoneme, row[index - 1] if index else None)
            nearest = int(np.clip(round((begin + end) / 2 * FRAME_RATE - 0.5), 0, len(shut) - 1))
            shut = np.maximum(shut, _trapezoid(middles, begin, end, _CLOSING_RAMP))
            shut[nearest] = 1.0
    return shut


def _held(phoneme: Phoneme, before: Phoneme | None) -> tuple[float, float]:
    """Begin and end of a bilabial's closure in seconds."""
    if "m" in phoneme.symbol:
        return phoneme.start, phoneme.end
    room = _HELD_SHARE * (before.end - before.start) if before else 0.0
    begin = phoneme.start - min(_HELD_BEFORE, room)
    if "p" in phoneme.symbol:
        return begin, min(phoneme.start + _BURST, phoneme.end)
    return begin, max(phoneme.end - 0.02, phoneme.start + _BURST)


def _trapezoid(times: NDArray[np.float64], begin: float, end: float, ramp: float) -> NDArray[np.float64]:
    """1 from ``begin`` to ``end``, falling to 0 within ``ramp`` on both sides along half a cosine."""
    distance = np.maximum(np.maximum(begin - times, times - end), 0.0)
    return 0.5 + 0.5 * np.cos(np.pi * np.minimum(distance / ramp, 1.0))
