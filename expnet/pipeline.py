"""From a portrait and a recording to a video that talks.

    image -> tracker, fit ----------------+-> first expression, identity, pose
    audio -> mel -> ExpressionRegressor --+-> expression ---+
                 -> PoseCVAE -------------+-> head pose ----+-> MeshRenderer -> frames -> mp4 with sound

Nothing here imports Lightning, librosa, wandb or torchmetrics, and frames are drawn one at a time: memory does not
grow with the number of frames.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, mel_for_frames
from expnet.audio.features import FeatureSource, SpeechEncoder
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.wave import MINIMUM_SECONDS, is_silent, load_audio
from expnet.coefficients import DEFAULT_FACE_MODEL, FaceCoefficients
from expnet.errors import InputError, MissingAssetError
from expnet.face.fitting import fit_clip
from expnet.face.morphable import load_face_model
from expnet.face.tracker import open_tracker
from expnet.models.bundle import WEIGHTS, load_model
from expnet.models.pose_cvae import PoseCVAE
from expnet.render.blink import BLINKS_PER_MINUTE, blink_track
from expnet.render.mesh import MeshRenderer
from expnet.render.portrait import LARGEST_SIDE, Portrait, open_portrait
from expnet.render.video import check_output, read_video, write_video

logger = logging.getLogger(__name__)

EXPRESSION_SCALE = 1.5
"""A regression gives the average of what could be, which moves less than a face does: this brings the deviation of the
mouth's opening to what tracked clips have (benchmarks/portraits.py prints it)."""
# Seconds over which speech takes over from the portrait's own expression and pose.
_FADE_SECONDS = 0.24

ImageInput = str | os.PathLike[str] | NDArray[np.uint8]
AudioInput = str | os.PathLike[str] | NDArray[np.floating]
HeadStyle = int | str | os.PathLike[str]


class Animator:
    """Makes portraits speak.

    Args:
        expression: weights of the expression network (run folder, .ckpt or .safetensors); None for the built-in ones.
        pose: weights of the head-pose network, likewise.
        speech_encoder: folder of the speech network (`expnet.audio.features`) whose features the expression network was
            trained on; None for one that hears the mel alone, as the built-in one does.
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
        face_model: str = DEFAULT_FACE_MODEL,
        max_side: int = LARGEST_SIDE,
    ) -> None:
        self.face_model = load_face_model(face_model)
        self._expression: Any = load_model(_weights(expression, "expression"), "expression")
        needed = self._expression.face_model
        if needed != self.face_model.name:
            raise InputError(
                f"The expression network gives coefficients of the face model '{needed}', but face_model is "
                f"'{self.face_model.name}': give the one that the network was trained with."
            )
        self._speech_encoder = _open_encoder(self._expression, speech_encoder)
        self._pose: Any = load_model(_weights(pose, "pose"), "pose")
        self._max_side = max_side

    def animate(
        self,
        image: ImageInput,
        audio: AudioInput,
        output: str | os.PathLike[str],
        *,
        seed: int = 0,
        expression_scale: float = EXPRESSION_SCALE,
        head_scale: float = 1.0,
        pose_style: HeadStyle = 0,
        blinks_per_minute: float = BLINKS_PER_MINUTE,
    ) -> Path:
        """Write the video of a portrait speaking a recording.

        Args:
            image: the portrait, a file or (H, W, 3) uint8 RGB.
            audio: the speech, any file with sound, or samples (S,) at 16 kHz in [-1, 1].
            output: the mp4 to write.
            seed: of head motion and blinks; the same seed gives the same frames.
            expression_scale: how strong the mouth and face move about their average, 1 as the network has it.
            head_scale: how strong the head moves; 0 keeps it still.
            pose_style: whose way of moving the head: the number of a training speaker, 0 for the average one, or a
                video of anybody of a second or more, in which it is measured.
            blinks_per_minute: on average; 0 for none.

        Returns:
            The path written.

        Raises:
            InputError: an input cannot be used or the output cannot be written; the latter before any work is done.
        """
        path = check_output(output)
        samples = _samples(audio)
        portrait = self.portrait(image)
        coefficients, blink = self._motion(
            portrait,
            samples,
            seed=seed,
            expression_scale=expression_scale,
            head_scale=head_scale,
            style=self.head_style(pose_style),
            blinks_per_minute=blinks_per_minute,
        )
        frames = self._draw(portrait, coefficients, blink)
        count = write_video(path, frames, fps=FRAME_RATE, audio=samples, sample_rate=SAMPLE_RATE)
        logger.info("wrote %d frames to %s", count, path)
        return path

    def frames(self, image: ImageInput, audio: AudioInput, *, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames, (H, W, 3) uint8 RGB at 25 a second, without writing a file."""
        samples = _samples(audio)
        portrait = self.portrait(image)
        yield from self._draw(portrait, *self._motion(portrait, samples, seed=seed))

    def coefficients(self, image: ImageInput, audio: AudioInput, *, seed: int = 0) -> FaceCoefficients:
        """Regress the coefficients only: expression, and pose in the portrait's own camera."""
        return self._motion(self.portrait(image), _samples(audio), seed=seed)[0]

    def portrait(self, image: ImageInput) -> Portrait:
        """Load, track and fit a portrait; the result can be given to :meth:`render`."""
        return open_portrait(image, self.face_model, max_side=self._max_side)

    def head_style(self, style: HeadStyle) -> Tensor:
        """Return a head-motion style for the head-pose network: a number (1,), or one measured in a video (1, 12).

        Raises:
            InputError: there is no such style, the video shows no face for long enough, or the network (SadTalker's)
                takes numbers only.
        """
        if isinstance(style, int):
            count = self._pose.options["styles"]
            if not 0 <= style < count:
                raise InputError(f"pose_style {style} does not exist: the network knows 0 to {count - 1}, or a video.")
            return torch.tensor([style])
        if not isinstance(self._pose, PoseCVAE):
            raise InputError(f"pose_style {style}: this head-pose network takes a number, not a video.")
        track = open_tracker().track(read_video(style, max_side=LARGEST_SIDE))
        if not track.found.any():
            raise InputError(f"{style}: no face was found in it, which a head-motion style is measured on.")
        motion = fit_clip(self.face_model, track.points, track.found)
        return self._pose.style_of(torch.from_numpy(motion.pose), torch.from_numpy(track.found))

    def render(
        self, portrait: Portrait, coefficients: FaceCoefficients, *, blink: NDArray | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a portrait driven by given coefficients, in the portrait's own camera."""
        return self._draw(portrait, coefficients, blink)

    def _draw(
        self, portrait: Portrait, coefficients: FaceCoefficients, blink: NDArray | None
    ) -> Iterator[NDArray[np.uint8]]:
        renderer = MeshRenderer(portrait.image, portrait.fit, portrait.points, self.face_model, matte=portrait.matte)
        return renderer.render(coefficients, blink=blink)

    @torch.inference_mode()
    def _motion(
        self,
        portrait: Portrait,
        samples: NDArray[np.float32],
        *,
        seed: int,
        expression_scale: float = EXPRESSION_SCALE,
        head_scale: float = 1.0,
        style: Tensor | None = None,
        blinks_per_minute: float = BLINKS_PER_MINUTE,
    ) -> tuple[FaceCoefficients, NDArray[np.float32]]:
        """Coefficients (T frames) and blink track (T,) for a recording."""
        frames = max(-(-len(samples) // SAMPLES_PER_FRAME), 1)
        fit = portrait.fit
        mel = mel_for_frames(samples, 0, frames)[None]
        blink = blink_track(frames, seed=seed, rate=blinks_per_minute)
        first = torch.from_numpy(fit.expression[:1])
        heard = {}
        if self._speech_encoder is not None:
            heard["features"] = torch.from_numpy(self._speech_encoder(samples, frames))[None]  # (1, T, F)
        spoken = self._expression(mel, frames, first, blink=torch.from_numpy(blink)[None], **heard)[0]  # (T, 64)
        generator = torch.Generator().manual_seed(seed)
        portrayed = torch.from_numpy(fit.pose[:1])
        turned = self._pose.sample(mel, frames, portrayed, style, generator)[0]  # (T, 6)
        fade = _fade_in(frames)[:, None]
        change = spoken.numpy() - fit.expression  # (T, 64)
        average = change.mean(axis=0)
        expression = fit.expression + fade * (average + expression_scale * (change - average))
        coefficients = FaceCoefficients(
            expression=expression,
            rotation=np.repeat(fit.rotation, frames, axis=0),
            translation=np.repeat(fit.translation, frames, axis=0),
            identity=fit.identity,
            crop=fit.crop,
            fps=FRAME_RATE,
            face_model=fit.face_model,
        )
        return coefficients.with_relative_pose(fade * head_scale * turned.numpy()), blink


def _weights(path: str | os.PathLike[str] | None, task: str) -> Path:
    """The given weights, or the built-in ones."""
    if path is not None:
        return Path(path)
    shipped = WEIGHTS / f"{task}.safetensors"
    if not shipped.is_file():
        raise MissingAssetError(
            f"{shipped}: the built-in {task} weights are missing from this install; install expnet again, or train "
            f"your own with 'expnet train configs/{task}.yaml' and give them with --{task}."
        )
    return shipped


def _open_encoder(expression: Any, folder: str | os.PathLike[str] | None) -> SpeechEncoder | None:
    """The speech network that an expression network was trained on, None for one that needs none."""
    needed = expression.options.get("speech_features")
    if needed is None:
        if folder is not None:
            raise InputError("The expression network hears the mel alone: leave the speech encoder out.")
        return None
    source = FeatureSource(**needed)
    if folder is None:
        raise InputError(
            f"The expression network was trained on {source.describe()}: give the folder of those weights with "
            "--speech-encoder."
        )
    encoder = SpeechEncoder(folder, encoder=source.encoder, layer=source.layer)
    if encoder.source != source:
        raise InputError(
            f"The expression network was trained on {source.describe()}, but {folder} has "
            f"{encoder.source.describe()}: give the same weights."
        )
    return encoder


def _samples(audio: AudioInput) -> NDArray[np.float32]:
    """Load and check the speech: (S,) at 16 kHz."""
    name = "the audio" if isinstance(audio, np.ndarray) else str(audio)
    samples = np.asarray(audio, np.float32) if isinstance(audio, np.ndarray) else load_audio(audio)
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise InputError(f"{name}: expected finite mono samples (S,), got shape {samples.shape}.")
    if len(samples) < MINIMUM_SECONDS * SAMPLE_RATE:
        raise InputError(f"{name}: {len(samples) / SAMPLE_RATE:.2f} s of sound; expected at least {MINIMUM_SECONDS} s.")
    if is_silent(samples):
        raise InputError(f"{name}: there is only silence in it; expected speech, check the recording.")
    return samples


def _fade_in(frames: int) -> NDArray[np.float32]:
    """Smooth rise from 0, at the portrait itself, to 1."""
    rise = np.clip(np.arange(frames) / (_FADE_SECONDS * FRAME_RATE), 0.0, 1.0)
    return (rise * rise * (3.0 - 2.0 * rise)).astype(np.float32)
