"""One video of several performances side by side: the same portrait and speech, one seed each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from expnet.animate.animator import Animator
from expnet.animate.controls.controls import Controls
from expnet.animate.inputs import AudioInput, ImageInput, load_speech
from expnet.audio.mel import SAMPLE_RATE
from expnet.errors import InputError
from expnet.io.overwriting import refuse_overwriting
from expnet.media.image_reader import LARGEST_SIDE
from expnet.media.video_reader import check_output, write_video

MOST_SEEDS = 16
COLUMNS = 4
"""Performances in a row."""


def seed_sheet(
    animator: Animator,
    image: ImageInput,
    audio: AudioInput,
    output: str | os.PathLike[str],
    controls: Controls | None = None,
    *,
    seeds: int = 4,
) -> Path:
    """Write a video of several performances side by side, each with its seed in the corner.

    Args:
        animator: Animator with the networks.
        image: Portrait. Unless the controls say how large, the whole video is at most 1024 pixels wide and high.
        audio: Speech, as for `Animator.animate`.
        output: The .mp4 to write.
        controls: Controls; their seed is the first one, and the others follow it.
        seeds: Number of performances, 2 to 16.

    Returns:
        The path written.

    Raises:
        InputError: An input cannot be used, or is the output.
    """
    if not 2 <= seeds <= MOST_SEEDS:
        raise InputError(f"seeds {seeds}: expected a whole number from 2 to {MOST_SEEDS}.")
    chosen = controls or Controls()
    chosen = replace(chosen, size=chosen.size or LARGEST_SIDE // min(seeds, COLUMNS))
    path = check_output(output)
    refuse_overwriting(path, (image, audio, *chosen.files))
    samples, portrait = load_speech(audio), animator.portrait(image, chosen)
    cells = []
    for seed in range(chosen.seed, chosen.seed + seeds):
        motion = animator.motion(portrait, samples, controls=replace(chosen, seed=seed))
        cells.append(_labelled(animator.render(portrait, motion.coefficients, blink=motion.blink), f"seed {seed}"))
    write_video(path, map(_arranged, zip(*cells, strict=True)), fps=chosen.fps, audio=samples, sample_rate=SAMPLE_RATE)
    return path


def _labelled(frames: Iterator[NDArray[np.uint8]], text: str) -> Iterator[NDArray[np.uint8]]:
    """Write a text into the upper left corner of each frame."""
    font = ImageFont.load_default(14)
    for frame in frames:
        labelled = Image.fromarray(frame)
        ImageDraw.Draw(labelled).text((6, 3), text, fill="white", font=font, stroke_width=2, stroke_fill="black")
        yield np.asarray(labelled)


def _arranged(frames: tuple[NDArray[np.uint8], ...]) -> NDArray[np.uint8]:
    """Arrange frames (H, W, 3) in rows of `COLUMNS`; cells that are left over are white."""
    columns = min(len(frames), COLUMNS)
    filled = [*frames, *[np.full_like(frames[0], 255)] * (-len(frames) % columns)]
    rows = [np.concatenate(filled[start : start + columns], axis=1) for start in range(0, len(filled), columns)]
    return np.concatenate(rows, axis=0)
