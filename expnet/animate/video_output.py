"""The files that an animation is written to: one video, and any exports of its motion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expnet.animate.controls.apply_controls import Motion
from expnet.animate.controls.controls import PathInput
from expnet.animate.portrait_renderer import PortraitRenderer
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.stored_samples import Samples
from expnet.formats.convert import MotionFileSettings, check_motion_file, write_motion
from expnet.formats.motion_clip import MotionClip
from expnet.io.overwriting import refuse_overwriting
from expnet.media.transparent_video import SUFFIXES as TRANSPARENT
from expnet.media.transparent_video import check_transparent_output, write_transparent
from expnet.media.video_reader import check_output, write_video
from expnet.render.frame_prefetch import prefetch
from expnet.render.portrait import Portrait


@dataclass(frozen=True)
class VideoOutput:
    """Where a video and the exports of its motion are written.

    Attributes:
        video: An .mp4, or without a background a .webm or a folder of images.
        exports: Files for the motion; the suffix chooses the format.
    """

    video: Path
    exports: tuple[Path, ...]

    @property
    def is_transparent(self) -> bool:
        """Whether the background is left out."""
        return self.video.suffix.lower() in TRANSPARENT

    def write(self, renderer: PortraitRenderer, portrait: Portrait, motion: Motion, samples: Samples | None) -> int:
        """Write the exports, then render and write the video.

        Args:
            renderer: Renders the frames.
            portrait: The portrait.
            motion: Its motion, at the video's frame rate.
            samples: Speech (S,) at 16 kHz, or None for a silent video.

        Returns:
            The number of frames.
        """
        clip = MotionClip(motion.coefficients, motion.blink, portrait.image.shape[:2])
        settings = MotionFileSettings(face_model=renderer.face_model, portrait=portrait.image, fit=portrait.fit)
        for target in self.exports:
            write_motion(clip, target, settings=settings)
        fps = motion.coefficients.fps
        if self.is_transparent:
            frames = renderer.render_without_background(portrait, motion)
            audio = None if samples is None else np.asarray(samples)
            return write_transparent(self.video, frames, fps=fps, audio=audio, sample_rate=SAMPLE_RATE)
        frames = prefetch(renderer.render(portrait, motion.coefficients, blink=motion.blink))
        return write_video(self.video, frames, fps=fps, audio=samples, sample_rate=SAMPLE_RATE)


def open_output(video: PathInput, exports: Iterable[PathInput], inputs: Iterable[object]) -> VideoOutput:
    """Check that a video and its exports can be written, before any work is done.

    Args:
        video: The video.
        exports: Files for the motion.
        inputs: Everything that the video is made from; what is not a path is passed over.

    Raises:
        InputError: A file cannot be written, is one of the inputs, or its suffix stands for no format.
    """
    targets = tuple(check_motion_file(target)[0] for target in exports)
    inputs = tuple(inputs)
    for target in (video, *targets):
        refuse_overwriting(target, inputs)
    if Path(video).suffix.lower() in TRANSPARENT:
        return VideoOutput(check_transparent_output(video), targets)
    return VideoOutput(
        check_output(video, besides="; .webm, or no suffix for a folder, leave the background out"), targets
    )
