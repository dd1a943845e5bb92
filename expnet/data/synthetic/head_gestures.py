"""Gestures that accompany speech: head motion, blinks and brow raises, drawn at random around the phonemes.

The numbers reflect that heads nod on stressed syllables and follow rises of loudness and pitch (Graf et al. 2002,
"Visual prosody"; Munhall et al. 2004), that people blink every 2 to 6 s and more often at the ends of phrases, and that
an eyelid closes within about 0.1 s and opens within 0.2 s. Amplitudes were chosen so that standard deviations and
velocities are within the range of real clips (``benchmarks/synthetic.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.audio.speech_synthesis import PAUSE, Phoneme
from expnet.data.synthetic.visemes import is_stressed
from expnet.face.smooth_noise import draw_smooth_noise

Array = NDArray[np.float64]

_PAUSE_FOR_A_NEW_POSE = 0.2  # seconds of silence after which a speaker may change the head pose


@dataclass(frozen=True)
class HeadStyle:
    """How a speaker moves the head.

    Attributes:
        amplitude: (3,) scale of pitch, yaw and roll; 1 is average.
        nod: Radians by which a fully loud stressed syllable lowers the nose.
        nod_share: Share of stressed syllables with a nod.
        energy: (3,) radians per unit of loudness above its mean.
        centre: (3,) mean pitch, yaw and roll in radians.
        pivot: (3,) shift of the face in face units, since the head turns about the neck: along x per radian of yaw,
            along y per radian of pitch, and along x per radian of roll.
        sway: (3,) standard deviation of further shifts in face units.
    """

    amplitude: Array
    nod: float
    nod_share: float
    energy: Array
    centre: Array
    pivot: Array
    sway: Array


def loudness(audio: NDArray[np.float32], frames: int) -> Array:
    """Return the RMS level of each frame relative to the clip's loud frames: (T,) from 0 to about 1.2."""
    power = np.square(audio[: frames * SAMPLES_PER_FRAME].astype(np.float64)).reshape(frames, -1).mean(axis=1)
    level = np.sqrt(power)
    return level / max(float(np.percentile(level, 95)), 1e-4)


def head_motion(
    random: np.random.Generator,
    style: HeadStyle,
    phonemes: Sequence[Phoneme],
    energy: Array,
    *,
    liveliness: float = 1.0,
) -> tuple[Array, Array]:
    """Draw the head motion of a clip.

    Args:
        random: Random generator.
        style: How the speaker moves the head.
        phonemes: Phonemes with times in seconds from the start of the clip.
        energy: (T,) level of each frame from ``loudness``.
        liveliness: Scale of all motion except tracker noise; emotions raise or lower it.

    Returns:
        Rotation (T, 3) as pitch, yaw and roll in radians, and translation (T, 3) in face units with mean 0.
    """
    frames = len(energy)
    spread = np.array([0.022, 0.036, 0.024])
    rotation = draw_smooth_noise(random, frames, 0.55, 3) * spread
    rotation += draw_smooth_noise(random, frames, 0.12, 3) * np.array([0.012, 0.014, 0.0075])
    rotation += _phrase_poses(random, phonemes, frames) * spread * 1.3
    rotation += (gaussian_filter1d(energy, 3.0) - energy.mean())[:, None] * style.energy
    rotation[:, 0] += _nods(random, style, phonemes, energy)
    rotation = rotation * style.amplitude * liveliness + style.centre
    rotation += random.normal(size=(frames, 3)) * np.array([0.0042, 0.0025, 0.0014])  # tracker noise

    moved = rotation - rotation.mean(axis=0)
    translation = draw_smooth_noise(random, frames, 0.6, 3) * style.sway * liveliness
    translation[:, 0] += style.pivot[0] * moved[:, 1] - style.pivot[2] * moved[:, 2]
    translation[:, 1] -= style.pivot[1] * moved[:, 0]
    translation += random.normal(size=(frames, 3)) * np.array([0.0018, 0.0018, 0.026])
    return rotation, translation - translation.mean(axis=0)


def _nods(random: np.random.Generator, style: HeadStyle, phonemes: Sequence[Phoneme], energy: Array) -> Array:
    """Lower and raise the nose on stressed syllables: (T,) pitch in radians."""
    middles = (np.arange(len(energy)) + 0.5) / FRAME_RATE
    total = np.zeros(len(energy))
    for phoneme in phonemes:
        if not is_stressed(phoneme.symbol) or random.random() > style.nod_share:
            continue
        peak = phoneme.start + random.normal(0.07, 0.03)  # the nod peaks with the vowel or a little later
        frame = int(np.clip(phoneme.start * FRAME_RATE, 0, len(energy) - 1))
        height = style.nod * min(energy[frame : frame + 3].max(), 1.3) * random.lognormal(-0.1, 0.45)
        width = random.uniform(0.075, 0.13)
        offset = (middles - peak) / width
        total += height * (np.exp(-0.5 * offset**2) - 0.35 * np.exp(-0.5 * (offset - 2.4) ** 2))  # with a rebound
    return total


def _phrase_poses(random: np.random.Generator, phonemes: Sequence[Phoneme], frames: int) -> Array:
    """Take a new pose after each longer pause, reached smoothly: (T, 3) of unit scale."""
    poses = np.zeros((frames, 3))
    pose = random.normal(size=3)
    start = 0
    for phoneme in phonemes:
        if phoneme.symbol == PAUSE and phoneme.end - phoneme.start > _PAUSE_FOR_A_NEW_POSE:
            change = int(np.clip((phoneme.start + 0.1) * FRAME_RATE, start, frames))
            poses[start:change] = pose
            pose, start = random.normal(size=3), change
    poses[start:] = pose
    return gaussian_filter1d(poses, 6.0, axis=0, mode="nearest")


def blinks(random: np.random.Generator, phonemes: Sequence[Phoneme], frames: int, *, interval: float) -> Array:
    """Draw the blinks of a clip.

    Args:
        random: Random generator.
        phonemes: Phonemes of the clip; blinks are more frequent in pauses.
        frames: Number of frames T.
        interval: Mean seconds between blinks.

    Returns:
        (T,) eyelid closure, from 0 (open) to 1 (closed).
    """
    middles = (np.arange(frames) + 0.5) / FRAME_RATE
    length = frames / FRAME_RATE
    moments: list[float] = []
    time = random.uniform(0.0, interval)
    while time < length:
        moments.append(time)
        time += 0.4 + random.gamma(2.0, max(interval - 0.4, 0.4) / 2.0)
    pauses = [phoneme for phoneme in phonemes if phoneme.symbol == PAUSE and phoneme.end - phoneme.start > 0.12]
    drawn = [pause for pause in pauses if random.random() < 0.3]
    moments += [pause.start + random.uniform(-0.05, 0.15) for pause in drawn]
    closed = np.zeros(frames)
    last = -1.0
    for moment in sorted(moments):
        if moment - last < 0.45:
            continue
        last = moment
        down, held, up = random.uniform(0.07, 0.11), random.uniform(0.01, 0.07), random.uniform(0.14, 0.24)
        falling = np.clip((middles - moment) / down, 0.0, 1.0)
        rising = np.clip((middles - moment - down - held) / up, 0.0, 1.0)
        depth = random.uniform(0.8, 1.0)
        pulse = depth * (_ease(falling) - _ease(rising))
        closed = np.maximum(closed, pulse)
    return closed


def brow_raises(random: np.random.Generator, phonemes: Sequence[Phoneme], energy: Array, *, share: float) -> Array:
    """Raise the brows on some loud stressed syllables: (T,) from 0 to about 1.5."""
    middles = (np.arange(len(energy)) + 0.5) / FRAME_RATE
    raised = np.zeros(len(energy))
    for phoneme in phonemes:
        frame = int(np.clip(phoneme.start * FRAME_RATE, 0, len(energy) - 1))
        if is_stressed(phoneme.symbol) and random.random() < share * min(energy[frame : frame + 3].max(), 1.2):
            width = random.uniform(0.1, 0.25)
            peak = phoneme.start + random.normal(0.03, 0.05)
            raised = np.maximum(raised, random.lognormal(-0.2, 0.35) * np.exp(-0.5 * ((middles - peak) / width) ** 2))
    return raised


def _ease(share: Array) -> Array:
    """Map 0 to 1 onto 0 to 1 with a smooth start and end."""
    return share * share * (3.0 - 2.0 * share)
