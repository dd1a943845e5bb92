"""From a portrait and a recording to a video of the portrait speaking.

    image -> tracker, fit ----------------+-> first expression, identity, pose
    audio -> networks --------------------+-> expression ---+
                                          +-> head pose ----+-> renderer -> frames -> mp4 with audio

Nothing here imports Lightning, librosa, wandb or torchmetrics. Frames are rendered one at a time, so memory does not
grow with the number of frames.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from expnet.animate.controls.apply_controls import Motion
from expnet.animate.controls.controls import Controls, HeadStyle, PathInput
from expnet.animate.controls.idle import LONGEST_SECONDS
from expnet.animate.inputs import AudioInput, ImageInput, load_speech
from expnet.animate.motion_source import LiveMotion, MotionSource, frames_covering
from expnet.animate.portrait_renderer import PortraitRenderer
from expnet.animate.video_output import VideoOutput, open_output
from expnet.audio.alignment import FRAME_RATE
from expnet.audio.stored_samples import Samples
from expnet.coefficients import DEFAULT_FACE_MODEL, FaceCoefficients
from expnet.errors import InputError
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import open_tracker
from expnet.media.image_reader import LARGEST_SIDE
from expnet.models.mel_source import MelSource
from expnet.models.packaged_weights import MotionKind
from expnet.render.open_renderer import RendererChoice, open_renderer
from expnet.render.portrait import Portrait

logger = logging.getLogger(__name__)


class Animator:
    """Makes portraits speak: a `MotionSource`, a `PortraitRenderer` and files to write to.

    Args:
        motion: How portraits move: "regressed", the average of all plausible motions, or "sampled", another performance
            for each seed, or weights of a motion network, whose motion is sampled. None for
            `expnet.models.packaged_weights.DEFAULT_MOTION`; regressed also where the speech encoder of the motion
            network is missing, or one of the next two is given. `Controls.motion` chooses for one video.
        expression: Weights of the expression network (run folder, .ckpt or .safetensors), or the name of built-in ones:
            "whisper", "mel", or "streaming" for :meth:`stream`. None loads "whisper" where the weights of its speech
            encoder are found (``expnet assets fetch whisper-tiny.en``), and "mel" otherwise. Given with sampled motion,
            it replaces its expression.
        pose: Weights of the head-pose network, or None for the built-in ones. Given with sampled motion, it replaces
            its head motion.
        speech_encoder: File or folder of the speech encoder that the expression or motion network was trained with;
            None to search the fetched assets for it.
        refiner: Weights of a refiner of the mesh renderer (docs/results/rendering.md). There are no built-in ones.
        renderer: ``mesh``, which warps the portrait and needs no weights, ``sadtalker``, SadTalker's published networks
            (``expnet assets fetch sadtalker``), a run folder or weights of ``configs/renderer.yaml``, or a class of
            your own (`expnet.render.renderer`).
        renderer_size: Side in pixels of the squares that SadTalker's renderer draws, 256 or 512; None for 256.
        face_model: Face model of the coefficients.
        max_side: Larger portraits are scaled down to this many pixels.
        tracker: Face tracker: "mediapipe", "litert" or a Face Landmarker .task file, see
            `expnet.face.tracker.open_tracker`.

    Raises:
        InputError: Weights or the tracker's file do not exist, are damaged, or belong to another task or face model.
    """

    def __init__(
        self,
        *,
        motion: str | os.PathLike[str] | None = None,
        expression: str | os.PathLike[str] | None = None,
        pose: str | os.PathLike[str] | None = None,
        speech_encoder: str | os.PathLike[str] | None = None,
        refiner: str | os.PathLike[str] | None = None,
        renderer: RendererChoice = "mesh",
        renderer_size: int | None = None,
        face_model: str = DEFAULT_FACE_MODEL,
        max_side: int = LARGEST_SIDE,
        tracker: str | os.PathLike[str] = "mediapipe",
    ) -> None:
        tracks = open_tracker(tracker)
        self._source = MotionSource(
            motion=motion,
            expression=expression,
            pose=pose,
            speech_encoder=speech_encoder,
            face_model=face_model,
            tracker=tracks,
        )
        self._renderer = PortraitRenderer(
            self._source.face_model,
            open_renderer(renderer, size=renderer_size, refiner=refiner),
            max_side=max_side,
            tracker=tracks,
        )
        # What no video may be written over.
        self._files: tuple[object, ...] = (
            motion,
            expression,
            pose,
            speech_encoder,
            refiner,
            renderer,
            face_model,
            tracker,
        )

    def with_renderer(
        self, renderer: RendererChoice, *, size: int | None = None, refiner: str | os.PathLike[str] | None = None
    ) -> Animator:
        """Return an animator that shares the networks of the motion and has another renderer.

        Args:
            renderer: Renderer, as for the constructor.
            size: ``renderer_size`` of the constructor.
            refiner: ``refiner`` of the constructor.

        Raises:
            InputError: As for the constructor.
        """
        other = copy(self)
        other._renderer = self._renderer.replaced(open_renderer(renderer, size=size, refiner=refiner))
        other._files = (*self._files, renderer, refiner)
        return other

    @property
    def face_model(self) -> MorphableModel:
        """Face model of the coefficients."""
        return self._source.face_model

    @property
    def styles(self) -> int:
        """Number of head-motion styles that the head-pose network knows by number, including the average style."""
        return self._source.networks.styles

    @property
    def default_motion(self) -> MotionKind:
        """How portraits move unless their controls choose."""
        return self._source.networks.default_motion

    def animate(
        self,
        image: ImageInput,
        audio: AudioInput,
        output: str | os.PathLike[str],
        controls: Controls | None = None,
        *,
        exports: Iterable[PathInput] = (),
        **changes: Any,
    ) -> Path:
        """Write the video of a portrait speaking a recording.

        Args:
            image: Portrait, a file or (H, W, 3) uint8 RGB.
            audio: Speech, an audio or video file, or samples (S,) at 16 kHz in [-1, 1].
            output: The .mp4 to write. A .webm or a folder (no suffix) of images holds the person without background.
            controls: How the portrait moves and looks; None for the defaults.
            exports: Files to write the motion to; the suffix chooses the format (`expnet.formats.convert.FORMATS`).
            changes: Single controls by name, which override ``controls``: ``seed=1, head_scale=0.5``.

        Returns:
            The path written.

        Raises:
            InputError: An input cannot be used, or an output cannot be written. Outputs are checked first.
        """
        chosen = _with_changes(controls, changes)
        target = self._open_output(output, exports, (image, audio, *chosen.files))
        samples = load_speech(audio)
        return self._write(target, self.portrait(image, chosen), samples, frames_covering(samples), chosen)

    def idle(
        self,
        image: ImageInput,
        seconds: float,
        output: str | os.PathLike[str],
        controls: Controls | None = None,
        *,
        exports: Iterable[PathInput] = (),
        **changes: Any,
    ) -> Path:
        """Write a silent video of a portrait that breathes, blinks and moves a little, its lips closed.

        Args:
            image: Portrait.
            seconds: Length, up to an hour.
            output: File to write, as for :meth:`animate`.
            controls: Controls, as for :meth:`animate`. Head motion does not depend on the pose style.
            exports: Files to write the motion to, as for :meth:`animate`.
            changes: Single controls by name, as for :meth:`animate`.

        Raises:
            InputError: As for :meth:`animate`.
        """
        chosen = _with_changes(controls, changes)
        target = self._open_output(output, exports, (image, *chosen.files))
        if not 1 / FRAME_RATE <= seconds <= LONGEST_SECONDS:
            raise InputError(f"idle {seconds:g} s: expected a length from a frame (0.04 s) to an hour (3600 s).")
        return self._write(target, self.portrait(image, chosen), None, round(seconds * FRAME_RATE), chosen)

    def frames(
        self, image: ImageInput, audio: AudioInput, controls: Controls | None = None, **changes: Any
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames, (H, W, 3) uint8 RGB at the controls' frame rate, without writing a file."""
        chosen = _with_changes(controls, changes)
        samples = load_speech(audio)
        portrait = self.portrait(image, chosen)
        motion = self.motion(portrait, samples, controls=chosen)
        yield from self.render(portrait, motion.coefficients, blink=motion.blink)

    def stream(
        self,
        image: ImageInput,
        audio_chunks: Iterable[NDArray[np.floating]],
        controls: Controls | None = None,
        *,
        lookahead: float | None = None,
        **changes: Any,
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield frames while the audio is still arriving, each as soon as it is determined (docs/guides/streaming.md).

        The frames do not depend on how the audio is cut into chunks. Where motion is regressed, they are those of
        :meth:`frames` with the same network; where it is sampled, they are drawn with less of the speech that follows.

        Args:
            image: Portrait.
            audio_chunks: Samples (S,) at 16 kHz in [-1, 1], any number at a time; for a microphone, for example
                ``iter(queue.get, None)``.
            controls: Controls, except for those that need the whole recording.
            lookahead: Seconds of speech that a block of sampled frames waits for, 0 to 2, in steps of 0.04; None for
                the usual 0.4. The logger says how far behind the audio the frames then are.
            changes: Single controls by name, as for :meth:`animate`.

        Returns:
            Frames (H, W, 3) uint8 RGB, 25 for each second of audio.

        Raises:
            InputError: The expression network was not trained for streaming, a control needs the whole recording, or
                the look-ahead is out of range.
        """
        chosen = _with_changes(controls, changes)
        self.check_live(chosen)
        portrait = self.portrait(image, chosen)
        motion = self.live_motion(portrait, chosen, lookahead=lookahead)
        renderer = self._renderer.renderer(portrait)
        latency = motion.latency + 1000 * renderer.lookahead / FRAME_RATE
        logger.info("frames leave at most %d ms after their audio", latency)
        return renderer.render_parts(_live_parts(motion, audio_chunks))

    def coefficients(
        self, image: ImageInput, audio: AudioInput, controls: Controls | None = None, **changes: Any
    ) -> FaceCoefficients:
        """Return only the coefficients: expression, and pose in the portrait's own camera, at the controls' rate."""
        chosen = _with_changes(controls, changes)
        samples = load_speech(audio)
        return self.motion(self.portrait(image, chosen), samples, controls=chosen).coefficients

    def portrait(self, image: ImageInput, controls: Controls | None = None) -> Portrait:
        """Load, track and fit a portrait with the framing, gaze and background of the controls.

        The result can be given to :meth:`motion` and :meth:`render`.
        """
        return self._renderer.open(image, controls or Controls())

    def motion(
        self,
        portrait: Portrait,
        samples: Samples | None,
        frames: int | None = None,
        *,
        controls: Controls | None = None,
    ) -> Motion:
        """Compute the motion of a portrait, see `MotionSource.motion`."""
        return self._source.motion(portrait, samples, frames, controls=controls)

    def check_live(self, controls: Controls) -> None:
        """Refuse what :meth:`live_motion` cannot do, see `MotionSource.check_live`."""
        self._source.check_live(controls)

    def live_motion(self, portrait: Portrait, controls: Controls, *, lookahead: float | None = None) -> LiveMotion:
        """Return the motion of a portrait for live speech, see `MotionSource.live_motion`."""
        return self._source.live_motion(portrait, controls, lookahead=lookahead)

    def head_style(self, style: HeadStyle) -> Tensor:
        """Return a head-motion style for the head-pose network, see `MotionSource.head_style`."""
        return self._source.head_style(style)

    def head_motion(
        self,
        mel: Tensor | MelSource,
        frames: int,
        first_pose: NDArray[np.float32],
        *,
        style: HeadStyle = 0,
        seed: int = 0,
    ) -> NDArray[np.float32]:
        """Draw a head motion for speech, see `MotionSource.head_motion`."""
        return self._source.head_motion(mel, frames, first_pose, style=style, seed=seed)

    def render(
        self, portrait: Portrait, coefficients: FaceCoefficients, *, blink: NDArray | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a portrait driven by given coefficients, in the portrait's own camera."""
        return self._renderer.render(portrait, coefficients, blink=blink)

    def _open_output(self, output: PathInput, exports: Iterable[PathInput], inputs: Iterable[object]) -> VideoOutput:
        """Check the outputs against what the video is made from, and against what the renderer can make."""
        target = open_output(output, exports, (*inputs, *self._files))
        if target.is_transparent:
            self._renderer.check_transparency()
        return target

    def _write(
        self, output: VideoOutput, portrait: Portrait, samples: Samples | None, frames: int, controls: Controls
    ) -> Path:
        motion = self.motion(portrait, samples, frames, controls=controls)
        count = output.write(self._renderer, portrait, motion, samples)
        logger.info("wrote %d frames to %s", count, output.video)
        return output.video


def _live_parts(motion: LiveMotion, chunks: Iterable[NDArray[np.floating]]) -> Iterator[Motion]:
    """Yield the frames of a motion that each chunk determines, then the remaining ones."""
    for chunk in chunks:
        yield from motion.push(np.asarray(chunk, np.float32))
    yield from motion.finish()


def _with_changes(controls: Controls | None, changes: dict[str, Any]) -> Controls:
    return replace(controls or Controls(), **changes)
