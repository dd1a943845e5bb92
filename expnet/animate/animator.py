"""From a portrait and a recording to a video that talks.

    image -> tracker, fit ----------------+-> first expression, identity, pose
    audio -> mel -> ExpressionRegressor --+-> expression ---+
                 -> PoseCVAE -------------+-> head pose ----+-> MeshRenderer -> frames -> mp4 with sound

Nothing here imports Lightning, librosa, wandb or torchmetrics, and frames are drawn one at a time: memory does not
grow with the number of frames.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.background import change_background, check_background
from expnet.animate.controls.controls import Controls, PathInput
from expnet.animate.controls.framing import frame_portrait
from expnet.animate.controls.gaze import redirect_gaze
from expnet.animate.controls.idle import LONGEST_SECONDS
from expnet.animate.inputs import AudioInput, ImageInput, load_speech
from expnet.animate.motion_source import Performer, frames_of
from expnet.animate.streaming import StreamedMotion
from expnet.audio.alignment import FRAME_RATE
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.stored_samples import Samples
from expnet.coefficients import DEFAULT_FACE_MODEL, FaceCoefficients
from expnet.errors import InputError
from expnet.formats.convert import ExportSettings, check_export, export
from expnet.formats.motion_clip import Performance
from expnet.media.transparent_video import SUFFIXES as TRANSPARENT
from expnet.media.transparent_video import check_transparent_output, cut_out, write_transparent
from expnet.media.video_reader import check_output, write_video
from expnet.render.frame_prefetch import ahead
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import LARGEST_SIDE, Portrait
from expnet.render.region_refiner import PairedRefiner, RegionModel, open_refiner

logger = logging.getLogger(__name__)


class Animator(Performer):
    """Makes portraits speak.

    Args:
        expression: see `Performer`, likewise ``pose``, ``speech_encoder`` and ``face_model``.
        refiner: weights of a refiner of the renderer (run folder, .ckpt or .safetensors; docs/renderer.md); None for
            none, as there are no built-in ones.
        max_side: larger portraits are scaled down to this many pixels.

    Raises:
        InputError: weights that do not exist, are damaged, or belong to another task or face model.
    """

    def __init__(
        self,
        *,
        expression: str | os.PathLike[str] | None = None,
        pose: str | os.PathLike[str] | None = None,
        speech_encoder: str | os.PathLike[str] | None = None,
        refiner: str | os.PathLike[str] | None = None,
        face_model: str = DEFAULT_FACE_MODEL,
        max_side: int = LARGEST_SIDE,
    ) -> None:
        super().__init__(expression=expression, pose=pose, speech_encoder=speech_encoder, face_model=face_model)
        self._refiner = None if refiner is None else open_refiner(refiner)
        self._max_side = max_side

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
            image: the portrait, a file or (H, W, 3) uint8 RGB.
            audio: the speech, any file with sound, or samples (S,) at 16 kHz in [-1, 1].
            output: the mp4 to write; a .webm or a folder (no suffix) of pictures for the person without a background.
            controls: how it moves and looks; None for the defaults.
            exports: files for the motion, in the formats of their suffixes (`expnet.formats.convert.FORMATS`).
            changes: single controls by name, in place of those: ``seed=1, head_scale=0.5``.

        Returns:
            The path written.

        Raises:
            InputError: an input cannot be used or the output cannot be written; the latter before any work is done.
        """
        chosen = _chosen(controls, changes)
        path, targets = _check_outputs(output, exports)
        samples = load_speech(audio)
        return self._write(path, self.portrait(image, chosen), samples, frames_of(samples), chosen, targets)

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
        """Write a silent video of a portrait that waits: it breathes, blinks and moves a little, its lips shut.

        Args:
            image: the portrait.
            seconds: length, up to an hour.
            output: as for :meth:`animate`.
            controls: as for :meth:`animate`; head motion is drawn without a pose style.
            exports: likewise.
            changes: likewise.

        Raises:
            InputError: as for :meth:`animate`.
        """
        chosen = _chosen(controls, changes)
        path, targets = _check_outputs(output, exports)
        if not 1 / FRAME_RATE <= seconds <= LONGEST_SECONDS:
            raise InputError(f"idle {seconds:g} s: expected a length from a frame (0.04 s) to an hour (3600 s).")
        return self._write(path, self.portrait(image, chosen), None, round(seconds * FRAME_RATE), chosen, targets)

    def frames(
        self, image: ImageInput, audio: AudioInput, controls: Controls | None = None, **changes: Any
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames, (H, W, 3) uint8 RGB at ``fps`` a second, without writing a file."""
        chosen = _chosen(controls, changes)
        samples = load_speech(audio)
        portrait = self.portrait(image, chosen)
        motion = self.motion(portrait, samples, controls=chosen)
        yield from self.render(portrait, motion.coefficients, blink=motion.blink)

    def stream(
        self,
        image: ImageInput,
        audio_chunks: Iterable[NDArray[np.floating]],
        controls: Controls | None = None,
        **changes: Any,
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield frames while the sound is still arriving, each as soon as it is determined (docs/streaming.md).

        The frames are those of :meth:`frames` with the same network, however the sound is cut.

        Args:
            image: the portrait.
            audio_chunks: samples (S,) at 16 kHz in [-1, 1], any number at a time; for a microphone, for example
                ``iter(queue.get, None)``.
            controls: how it moves and looks, but for those that need the whole recording.
            changes: as for :meth:`animate`.

        Returns:
            (H, W, 3) uint8 RGB, 25 a second of sound.

        Raises:
            InputError: the expression network was not made for streams, or a control needs the whole recording.
        """
        chosen = _chosen(controls, changes)
        self.check_live(chosen)
        portrait = self.portrait(image, chosen)
        motion, renderer = self.live_motion(portrait, chosen), self._renderer(portrait, self._refiner)
        return _streamed(motion, renderer, audio_chunks)

    def coefficients(
        self, image: ImageInput, audio: AudioInput, controls: Controls | None = None, **changes: Any
    ) -> FaceCoefficients:
        """Return the coefficients only: expression, and pose in the portrait's own camera, at ``fps`` a second."""
        chosen = _chosen(controls, changes)
        samples = load_speech(audio)
        return self.motion(self.portrait(image, chosen), samples, controls=chosen).coefficients

    def portrait(self, image: ImageInput, controls: Controls | None = None) -> Portrait:
        """Load, track and fit a portrait, framed, looking and before the background that the controls say.

        The result can be given to :meth:`motion` and :meth:`render`.
        """
        chosen = controls or Controls()
        check_background(chosen.background)
        portrait = frame_portrait(image, self.face_model, view=chosen.view, size=chosen.size, max_side=self._max_side)
        if chosen.gaze is not None:
            portrait = redirect_gaze(portrait, *chosen.gaze)
        return change_background(portrait, chosen.background)

    def render(
        self, portrait: Portrait, coefficients: FaceCoefficients, *, blink: NDArray | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a portrait driven by given coefficients, in the portrait's own camera."""
        return self._renderer(portrait, self._refiner).render(coefficients, blink=blink)

    def _renderer(self, portrait: Portrait, refiner: RegionModel | None) -> MeshRenderer:
        return MeshRenderer(
            portrait.image, portrait.fit, portrait.points, self.face_model, matte=portrait.matte, refiner=refiner
        )

    def _write(
        self,
        path: Path,
        portrait: Portrait,
        samples: Samples | None,
        frames: int,
        controls: Controls,
        exports: Iterable[Path],
    ) -> Path:
        motion = self.motion(portrait, samples, frames, controls=controls)
        performed = Performance(motion.coefficients, motion.blink, portrait.image.shape[:2])
        settings = ExportSettings(face_model=self.face_model, portrait=portrait.image, fit=portrait.fit)
        for target in exports:
            export(performed, target, settings=settings)
        if path.suffix.lower() in TRANSPARENT:
            # The same frames before two backgrounds tell how opaque each pixel is.
            refiner = None if self._refiner is None else PairedRefiner(self._refiner)
            black, white = (
                self._renderer(change_background(portrait, colour), refiner).render(
                    motion.coefficients, blink=motion.blink
                )
                for colour in ("black", "white")
            )
            drawn = cut_out(black, white)
            sound = None if samples is None else np.asarray(samples)
            count = write_transparent(path, drawn, fps=controls.fps, audio=sound, sample_rate=SAMPLE_RATE)
        else:
            drawn = ahead(self.render(portrait, motion.coefficients, blink=motion.blink))
            count = write_video(path, drawn, fps=controls.fps, audio=samples, sample_rate=SAMPLE_RATE)
        logger.info("wrote %d frames to %s", count, path)
        return path


def _streamed(
    motion: StreamedMotion, renderer: MeshRenderer, chunks: Iterable[NDArray[np.floating]]
) -> Iterator[NDArray[np.uint8]]:
    """Draw what each chunk determines, then what is left."""
    for chunk in chunks:
        for part in motion.push(np.asarray(chunk, np.float32)):
            yield from renderer.render(part.coefficients, blink=part.blink)
    for part in motion.finish():
        yield from renderer.render(part.coefficients, blink=part.blink)


def _check_outputs(output: PathInput, exports: Iterable[PathInput]) -> tuple[Path, list[Path]]:
    """Make sure that the video and the exports can be written before any work is done."""
    targets = [check_export(target)[0] for target in exports]
    if Path(output).suffix.lower() in TRANSPARENT:
        return check_transparent_output(output), targets
    return check_output(output, besides="; .webm, or no suffix for a folder, leave the background out"), targets


def _chosen(controls: Controls | None, changes: dict[str, Any]) -> Controls:
    """The controls with single ones changed."""
    return replace(controls or Controls(), **changes)
