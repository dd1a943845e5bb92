"""Degraded copies of a folder of clips: worse encodings, shifted audio, a frozen face, noise, half the size."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.wave import load_audio
from expnet.config.benchmark import GROUND_TRUTH
from expnet.data.even_spacing import evenly_spaced
from expnet.evaluation.videos.pairing import find_videos
from expnet.media.video_reader import read_video, write_video

Frames = list[NDArray[np.uint8]]
Audio = NDArray[np.float32]
SHIFTS = (-4, -2, 2, 4)
QUALITIES = (23, 33, 43)
_BEST_QUALITY = 10
_NOISE = 0.1


@dataclass(frozen=True)
class Degradation:
    """One way to degrade a clip.

    Attributes:
        frames: Makes the degraded frames from the clip's frames.
        audio: Makes the degraded audio from the clip's audio.
        quality: Constant rate factor (crf) of x264.
    """

    frames: Callable[[Frames], Frames] = lambda frames: frames
    audio: Callable[[Audio], Audio] = lambda audio: audio
    quality: int = _BEST_QUALITY


def delayed(audio: Audio, frames: int) -> Audio:
    """Audio (S,) delayed by a number of video frames (negative: advanced), with silence where it is missing."""
    shift, silence = frames * SAMPLES_PER_FRAME, np.zeros(abs(frames) * SAMPLES_PER_FRAME, np.float32)
    return np.concatenate([silence, audio[:-shift]]) if shift > 0 else np.concatenate([audio[-shift:], silence])


def noisy(frames: Frames) -> Frames:
    """Add Gaussian noise with a standard deviation of a tenth of the range to every channel."""
    generator = np.random.default_rng(0)
    disturbed = (image + generator.normal(scale=255 * _NOISE, size=image.shape) for image in frames)
    return [image.round().clip(0, 255).astype(np.uint8) for image in disturbed]


def halved(frames: Frames) -> Frames:
    """Halve width and height, rounded to even numbers."""
    height, width = (side // 4 * 2 for side in frames[0].shape[:2])
    return [np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX)) for image in frames]


def shift_name(frames: int) -> str:
    """Name of the copies whose audio is delayed by a number of frames."""
    return f"sound_{'late' if frames > 0 else 'early'}_{abs(frames)}"


DEGRADATIONS = {
    **{f"quality_{crf}": Degradation(quality=crf) for crf in QUALITIES},
    **{shift_name(k): Degradation(audio=lambda audio, k=k: delayed(audio, k)) for k in SHIFTS},  # type: ignore[misc]
    "frozen": Degradation(frames=lambda frames: [frames[0]] * len(frames)),
    "noise": Degradation(frames=noisy),
    "half_size": Degradation(frames=halved),
}


def make_copies(
    clips: Path, output: Path, *, limit: int, seconds: float, side: int, made: Collection[str] = tuple(DEGRADATIONS)
) -> None:
    """Write the clips at best quality, limited in size, and their degraded copies; an interrupted run resumes."""
    wanted = {name: degradation for name, degradation in DEGRADATIONS.items() if name in made}
    found = find_videos(clips)
    for name in evenly_spaced(sorted(found), limit or None):
        path, _ = found[name]
        decoded = read_video(path, fps=float(FRAME_RATE), max_side=side)
        frames = list(islice(decoded, round(seconds * FRAME_RATE)))
        audio = fit_length(load_audio(path), len(frames))
        for system, degradation in {GROUND_TRUTH: Degradation(), **wanted}.items():
            target = output / system / f"{name}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_file():
                continue
            images, samples = degradation.frames(frames), degradation.audio(audio)
            write_video(target, images, fps=float(FRAME_RATE), audio=samples, crf=degradation.quality)
