"""Training windows of a clip, and the audio that belongs to them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import MEL_CONTEXT, SAMPLES_PER_FRAME, fit_length
from expnet.audio.mel import HOP, WINDOW
from expnet.data.clip_entry import ClipEntry
from expnet.data.silent_windows import SilentRun
from expnet.data.speaking_rate import resample_audio
from expnet.data.store.feature_cache import FeatureCache

AUDIO_MARGIN = -(-(MEL_CONTEXT * HOP + WINDOW // 2 + 1) // SAMPLES_PER_FRAME)
"""Frames of audio before and after a window that its mel spectrogram depends on."""


@dataclass(frozen=True)
class Window:
    """A range of frames of a clip, and how they are augmented.

    Attributes:
        first_frame: First frame in the clip.
        frames: Number of frames of the window.
        speed: Speaking rate relative to the clip's.
        generator: Random generator of the audio augmentation; None for no augmentation.
        run: Run of silence that the window's audio gets; None for none.
        copy: Number of the disturbed copy whose audio and features these are; 0 for the original.
        reference: Frame of the clip whose expression and pose are given as the first; None for the window's first.
    """

    first_frame: int
    frames: int
    speed: float = 1.0
    generator: np.random.Generator | None = None
    run: SilentRun | None = None
    copy: int = 0
    reference: int | None = None


def audio_with_context(entry: ClipEntry, window: Window, cache: FeatureCache | None) -> tuple[NDArray[np.float32], int]:
    """Return the audio of a window and its context, and the number of context frames before the window."""
    row, first = entry.row, window.first_frame

    def read(begin: int, frames: int) -> NDArray[np.float32]:
        if cache is not None and window.copy:
            return cache.read_audio(row, begin, frames, window.copy)
        return entry.store.read_audio(row, begin, frames)

    if window.speed == 1:
        begin = max(first - AUDIO_MARGIN, 0)
        return read(begin, first + window.frames + AUDIO_MARGIN - begin), first - begin
    frames = window.frames + 2 * AUDIO_MARGIN
    place = first - AUDIO_MARGIN * window.speed  # where the audio begins in the clip, in frames
    begin = max(math.floor(place), 0)
    samples = read(begin, math.ceil(place + frames * window.speed) + 2 - begin)
    return resample_audio(samples, place - begin, frames, window.speed), AUDIO_MARGIN


def audio_inside_clip(entry: ClipEntry, window: Window, margin: int) -> tuple[NDArray[np.float32], int]:
    """Return the audio of a window and ``2 margin`` frames of context, and how many of these come before the window.

    At the ends of the clip, the context on the other side is longer instead, so that all audio is real and all windows
    have the same length. Only a clip that is shorter than that is padded, with silence at its end.
    """
    row, speed = entry.row, window.speed
    first, clip = window.first_frame / speed, row.frames / speed  # at the window's speed
    frames = window.frames + 2 * margin
    before = max(margin, math.ceil(first + frames - clip))
    before = min(before, math.floor(first))
    if speed == 1:
        return fit_length(entry.store.read_audio(row, window.first_frame - before, frames), frames), before
    place = window.first_frame - before * speed  # where the audio begins in the clip, in frames
    begin = math.floor(place)
    samples = entry.store.read_audio(row, begin, math.ceil(place + frames * speed) + 2 - begin)
    return resample_audio(samples, place - begin, frames, speed), before
