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
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.stored import Samples
from expnet.coefficients import DEFAULT_FACE_MODEL, FaceCoefficients
from expnet.control.background import change_background, check_background
from expnet.control.controls import Controls, HeadStyle, PathInput
from expnet.control.framing import frame_portrait
from expnet.control.gaze import redirect_gaze
from expnet.control.idle import LONGEST_SECONDS, idle_expression, idle_head
from expnet.control.motion import Motion, blinking, direct
from expnet.control.reference import ReferenceMotion, measure_reference, track_video
from expnet.control.scales import RunningAverage, lips_shut, scale_expression
from expnet.errors import InputError
from expnet.face.fitting import fit_clip
from expnet.face.morphable import load_face_model
from expnet.formats.export import ExportSettings, check_export, export
from expnet.formats.performance import Performance
from expnet.inputs import AudioInput, ImageInput, built_in_or, load_speech, open_encoder
from expnet.models.bundle import load_model
from expnet.models.expression import LONGEST, ExpressionRegressor
from expnet.models.long_speech import Sound, sound_of
from expnet.models.pose_cvae import PoseCVAE
from expnet.render.ahead import ahead
from expnet.render.mesh import MeshRenderer
from expnet.render.portrait import LARGEST_SIDE, Portrait
from expnet.render.refine import PairedRefiner, RegionModel, open_refiner
from expnet.render.transparent import SUFFIXES as TRANSPARENT
from expnet.render.transparent import check_transparent_output, cut_out, write_transparent
from expnet.render.video import check_output, write_video
from expnet.streaming import StreamedHead, StreamedMotion, check_controls, head_delay

logger = logging.getLogger(__name__)


class Animator:
    """Makes portraits speak.

    Args:
        expression: weights of the expression network (run folder, .ckpt or .safetensors); None for the built-in ones,
            "streaming" for the built-in ones that :meth:`stream` takes.
        pose: weights of the head-pose network, likewise.
        speech_encoder: folder of the speech network (`expnet.audio.features`) whose features the expression network was
            trained on; None for one that hears the mel alone, as the built-in one does.
        refiner: weights of a refiner of the renderer, likewise (docs/renderer.md); None for none, as there are no
            built-in ones.
        face_model: face model of the coefficients.
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
        self.face_model = load_face_model(face_model)
        self._expression: Any = load_model(built_in_or(expression, "expression"), "expression")
        needed = self._expression.face_model
        if needed != self.face_model.name:
            raise InputError(
                f"The expression network gives coefficients of the face model '{needed}', but face_model is "
                f"'{self.face_model.name}': give the one that the network was trained with."
            )
        self._speech_encoder = open_encoder(self._expression, speech_encoder)
        self._pose: Any = load_model(built_in_or(pose, "pose"), "pose")
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
            exports: files for the motion, in the formats of their suffixes (`expnet.formats.export.FORMATS`).
            changes: single controls by name, in place of those: ``seed=1, head_scale=0.5``.

        Returns:
            The path written.

        Raises:
            InputError: an input cannot be used or the output cannot be written; the latter before any work is done.
        """
        chosen = _chosen(controls, changes)
        path, targets = _check_outputs(output, exports)
        samples = load_speech(audio)
        return self._write(path, self.portrait(image, chosen), samples, _frames_of(samples), chosen, targets)

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
        check_controls(chosen)
        if not (type(self._expression) is ExpressionRegressor and self._expression.streaming):
            raise InputError(
                "The expression network needs the whole recording: give expression='streaming', or one of your own "
                "from configs/streaming.yaml."
            )
        if not isinstance(self._pose, PoseCVAE):
            raise InputError("This head-pose network needs the whole recording: leave pose out for the built-in one.")
        portrait = self.portrait(image, chosen)
        pose = torch.from_numpy(portrait.fit.pose[:1])
        head = StreamedHead(self._pose, pose, self.head_style(chosen.pose_style), seed=chosen.seed)
        motion = StreamedMotion(self._expression, head, self.face_model, portrait.fit, chosen)
        renderer = self._renderer(portrait, self._refiner)
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

    @torch.inference_mode()
    def motion(
        self,
        portrait: Portrait,
        samples: Samples | None,
        frames: int | None = None,
        *,
        controls: Controls | None = None,
    ) -> Motion:
        """How a portrait moves.

        Args:
            portrait: of :meth:`portrait`.
            samples: (S,) speech at 16 kHz, or None for somebody who waits.
            frames: length at 25 a second, by default the sound's.
            controls: None for the defaults.

        Returns:
            Coefficients and blinks at the controls' frame rate; the first frame is the portrait.
        """
        chosen = controls or Controls()
        if frames is None:
            if samples is None:
                raise ValueError("without sound, the number of frames has to be given")
            frames = _frames_of(samples)
        reference = self._reference(chosen, frames)
        blink = blinking(frames, chosen, reference)
        if samples is None:
            expression: NDArray = idle_expression(self.face_model, portrait.fit, frames, seed=chosen.seed)
            turned: NDArray = idle_head(frames, seed=chosen.seed)
        else:
            expression, turned = self._spoken(portrait, samples, frames, blink, chosen)
        return direct(self.face_model, portrait.fit, expression, turned, blink, chosen, reference)

    def head_style(self, style: HeadStyle) -> Tensor:
        """Return a head-motion style for the head-pose network: a number (1,), or one measured in a video (1, 12).

        Raises:
            InputError: there is no such style, the video shows no face for long enough, or the network (SadTalker's)
                takes numbers only.
        """
        if isinstance(style, int):
            if not 0 <= style < self.styles:
                raise InputError(
                    f"pose_style {style} does not exist: the network knows 0 to {self.styles - 1}, or a video."
                )
            return torch.tensor([style])
        if not isinstance(self._pose, PoseCVAE):
            raise InputError(f"pose_style {style}: this head-pose network takes a number, not a video.")
        track = track_video(style, "a head-motion style is to be measured on")
        motion = fit_clip(self.face_model, track.points, track.found)
        return self._pose.style_of(torch.from_numpy(motion.pose), torch.from_numpy(track.found))

    @property
    def styles(self) -> int:
        """Number of head-motion styles that the head-pose network knows by number, the average one included."""
        return int(self._pose.options["styles"])

    def head_motion(
        self, mel: Tensor | Sound, frames: int, first_pose: NDArray[np.float32], *, style: HeadStyle = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        """Draw a head motion for speech.

        Args:
            mel: (1, 80, ...) of `expnet.audio.alignment.mel_for_frames`, or a function that gives it piece by piece.
            frames: T.
            first_pose: (1, 6) the portrait's.
            style: as in `expnet.control.controls.Controls`.
            seed: same seed, same motion.

        Returns:
            (T, 6) relative to the first pose.
        """
        generator = torch.Generator().manual_seed(seed)
        drawn = self._pose.sample(mel, frames, torch.from_numpy(first_pose), self.head_style(style), generator)
        return drawn[0].numpy()

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

    def _reference(self, controls: Controls, frames: int) -> ReferenceMotion | None:
        """The clip whose motion is taken over, for as many frames."""
        if controls.reference_video is None:
            return None
        return measure_reference(controls.reference_video, self.face_model).lasting(frames)

    def _spoken(
        self,
        portrait: Portrait,
        samples: Samples,
        frames: int,
        blink: NDArray[np.float32],
        controls: Controls,
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """What the networks say: expression (T, 64) at its scale, and head pose (T, 6) relative to the portrait's."""
        streaming = getattr(self._expression, "streaming", False)
        mel = _mel_of(samples, frames, in_pieces=isinstance(self._expression, ExpressionRegressor))
        heard = {}
        if self._speech_encoder is not None:
            heard["features"] = torch.from_numpy(self._speech_encoder(np.asarray(samples), frames))[None]  # (1, T, F)
        first = torch.from_numpy(lips_shut(self.face_model, portrait.fit))
        spoken = self._expression(mel, frames, first, blink=torch.from_numpy(blink)[None], **heard)[0]  # (T, 64)
        in_pieces = isinstance(self._pose, PoseCVAE)
        # A head that could be streamed hears the sound of a while ago.
        delay = head_delay(self._pose.window) if streaming and in_pieces else 0
        if delay or not isinstance(mel, Tensor):  # otherwise both hear the same
            mel = _mel_of(samples, frames, in_pieces=in_pieces, delay=delay)
        turned = self.head_motion(mel, frames, portrait.fit.pose[:1], style=controls.pose_style, seed=controls.seed)
        rest = first[0].numpy()
        average = RunningAverage()(spoken.numpy() - rest) if streaming else None
        return scale_expression(spoken.numpy(), rest, controls.expression_scale, average), turned


def _mel_of(samples: Samples, frames: int, *, in_pieces: bool, delay: int = 0) -> Tensor | Sound:
    """The mel of a speech for a network; of a long one, or one that comes late, in pieces where the network takes them.

    Args:
        samples: (S,).
        frames: T.
        in_pieces: whether it does.
        delay: frames that the sound is late, a multiple of five.
    """
    sound = sound_of(samples, delay=delay)
    return sound if in_pieces and (delay or frames > LONGEST) else sound(0, frames)


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
    return check_output(output), targets


def _frames_of(samples: Samples) -> int:
    """Frames at 25 a second that cover the samples."""
    return max(-(-len(samples) // SAMPLES_PER_FRAME), 1)


def _chosen(controls: Controls | None, changes: dict[str, Any]) -> Controls:
    """The controls with single ones changed."""
    return replace(controls or Controls(), **changes)
