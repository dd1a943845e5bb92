"""From a sequence of phonemes to smooth lip motion.

Dominance functions after Cohen and Massaro, "Modeling coarticulation in synthetic visual speech" (1993). Every phoneme
attracts every articulator, most strongly while it is spoken and less with distance in time:

    value(t) = sum_s a_s D_s(t) target_s / sum_s a_s D_s(t),    D_s(t) = exp(-distance_s(t) / tau)

with its own tau for each articulator: rounding begins well before its vowel, lip closure does not. In fast speech the
functions overlap more, so targets are reached less, without a rule for it. What must not be blurred is imposed
afterwards: the lips touch on p, b and m, and stay closed in silence.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from expnet.audio.alignment import FRAME_RATE
from expnet.audio.speech_synthesis import PAUSE, Phoneme
from expnet.data.synthetic.visemes import ARTICULATORS, REST, Viseme, is_stressed, visemes_of

STEPS_PER_FRAME = 4
"""Motion is computed 100 times per second and then sampled at the centre of each frame."""

# Reach of a phoneme in seconds, before and after it, for each of ARTICULATORS (lips anticipate more than they linger).
_REACH_BEFORE = np.array([0.042, 0.055, 0.065, 0.085, 0.030, 0.036])
_REACH_AFTER = np.array([0.036, 0.055, 0.055, 0.060, 0.028, 0.032])
_CORE = 0.22  # share of a phoneme's duration on either side of its centre with full dominance
_STRESS_GAIN = 1.18
_SMOOTHING = 0.014  # standard deviation in seconds of the smoothing that models the lips' inertia

_OPENING = ARTICULATORS.index("opening")
_PRESS = ARTICULATORS.index("press")

_CLOSING_RAMP = 0.050  # seconds in which the lips close and part around a closure
_PAUSE_RAMP = 0.11
_SHORTEST_CLOSED_PAUSE = 0.22
_BURST = 0.012  # a voiceless p parts the lips this long after its start, which eSpeak NG puts at the burst
_HELD_BEFORE = 0.055  # and its closure lies this long before, in the phoneme before it
_HELD_SHARE = 0.5  # of which it takes at most this share


def articulate(phonemes: Sequence[Phoneme], frames: int) -> NDArray[np.float64]:
    """Compute the motion of the articulators during an utterance.

    Args:
        phonemes: Phonemes in order, with times in seconds from the start of the clip. The rest of the time is silence.
        frames: Number of video frames T at 25 per second.

    Returns:
        (T, 6) values of ``ARTICULATORS`` at the centre of each frame. The opening is 0 in every frame whose centre is
        in a bilabial closure or in silence, and in at least one frame of each bilabial.
    """
    times = (np.arange(frames * STEPS_PER_FRAME) + 0.5) / (FRAME_RATE * STEPS_PER_FRAME)  # (S,)
    row = _with_silence(phonemes, frames / FRAME_RATE)
    values = _blend(_pulls(row), times)  # (S, 6)
    values = gaussian_filter1d(values, _SMOOTHING * FRAME_RATE * STEPS_PER_FRAME, axis=0, mode="nearest")
    at_frames = values.reshape(frames, STEPS_PER_FRAME, -1)[:, 1:3].mean(axis=1)  # the two steps around the centre
    middles = (np.arange(frames) + 0.5) / FRAME_RATE
    shut = _closure(row, middles)
    pressed = shut * (at_frames[:, _PRESS] > 0.15)
    at_frames[:, _OPENING] *= 1.0 - shut
    at_frames[:, _PRESS] = np.maximum(at_frames[:, _PRESS] * (0.3 + 0.7 * shut), pressed * at_frames[:, _PRESS])
    return at_frames


def _with_silence(phonemes: Sequence[Phoneme], length: float) -> list[Phoneme]:
    """Fill gaps and both ends with pauses, and merge adjacent pauses."""
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
    """List the visemes of all phonemes with gain on their strengths, centre, and half the duration of their core."""
    pulls = []
    for phoneme in row:
        visemes = visemes_of(phoneme.symbol)
        length = (phoneme.end - phoneme.start) / len(visemes)
        gain = _STRESS_GAIN if is_stressed(phoneme.symbol) else 1.0
        for index, viseme in enumerate(visemes):
            middle = phoneme.start + (index + 0.5) * length
            core = _CORE * length
            if viseme is REST:
                core = max(0.5 * length - 0.06, 0.0)  # the rest position is held until shortly before speech
            pulls.append((viseme, gain if viseme.vowel else 1.0, middle, core))
    return pulls


def _blend(pulls: list[_Pull], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted mean of all targets at all times, (S, 6)."""
    targets = np.array([viseme.targets for viseme, *_ in pulls])  # (P, 6)
    gain, middle, core = (np.array(column) for column in list(zip(*pulls, strict=True))[1:])
    strengths = np.array([viseme.strengths for viseme, *_ in pulls]) * gain[:, None]  # (P, 6)
    offset = times[:, None] - middle  # (S, P) positive after the phoneme
    distance = np.maximum(np.abs(offset) - core, 0.0)
    values = np.empty((len(times), len(ARTICULATORS)))
    for index in range(len(ARTICULATORS)):
        reach = np.where(offset < 0.0, _REACH_BEFORE[index], _REACH_AFTER[index])
        weight = strengths[:, index] * np.exp(-distance / reach) + 1e-12
        values[:, index] = weight @ targets[:, index] / weight.sum(axis=1)
    return values


def _closure(row: Sequence[Phoneme], middles: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the lips must be closed in each frame, from 0 to 1, for bilabials and silence: (T,)."""
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
    """Return begin and end of a bilabial's closure in seconds."""
    if "m" in phoneme.symbol:
        return phoneme.start, phoneme.end
    room = _HELD_SHARE * (before.end - before.start) if before else 0.0
    begin = phoneme.start - min(_HELD_BEFORE, room)
    if "p" in phoneme.symbol:
        return begin, min(phoneme.start + _BURST, phoneme.end)
    return begin, max(phoneme.end - 0.02, phoneme.start + _BURST)


def _trapezoid(times: NDArray[np.float64], begin: float, end: float, ramp: float) -> NDArray[np.float64]:
    """1 from ``begin`` to ``end``, falling to 0 over ``ramp`` on both sides as half a cosine."""
    distance = np.maximum(np.maximum(begin - times, times - end), 0.0)
    return 0.5 + 0.5 * np.cos(np.pi * np.minimum(distance / ramp, 1.0))
