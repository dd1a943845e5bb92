"""How a portrait moves: what the networks make of speech, with what the controls say on top.

first expression, mel -> ExpressionRegressor -> expression --+
first pose, mel ------> PoseCVAE -------------> head pose ---+-> controls -> Motion
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.animate.controls.controls import Controls, HeadStyle
from expnet.animate.controls.directed_motion import Motion, blinking, direct
from expnet.animate.controls.idle import idle_expression, idle_head
from expnet.animate.controls.motion_scale import RunningAverage, lips_shut, scale_expression
from expnet.animate.controls.reference_video import ReferenceMotion, measure_reference, track_video
from expnet.animate.inputs import built_in_or, open_encoder
from expnet.animate.streaming import StreamedHead, StreamedMotion, check_controls, head_delay
from expnet.audio.alignment import SAMPLES_PER_FRAME, mel_for_frames
from expnet.audio.stored_samples import Samples
from expnet.coefficients import DEFAULT_FACE_MODEL
from expnet.errors import InputError
from expnet.face.fitting import fit_clip
from expnet.face.morphable import load_face_model
from expnet.models.expression_regressor import LONGEST, ExpressionRegressor
from expnet.models.mel_source import CachedMel, MelSource
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import load_model
from expnet.render.portrait import Portrait


class Performer:
    """Moves portraits to speech.

    Args:
        expression: weights of the expression network (run folder, .ckpt or .safetensors); None for the built-in ones,
            "streaming" for the built-in ones that :meth:`live_motion` takes.
        pose: weights of the head-pose network, likewise.
        speech_encoder: folder of the speech network (`expnet.audio.speech_encoder`) whose features the expression
            network was trained on; None for one that hears the mel alone, as the built-in one does.
        face_model: face model of the coefficients.

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
            portrait: of :meth:`expnet.animate.animator.Animator.portrait`.
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
            frames = frames_of(samples)
        reference = self._reference(chosen, frames)
        blink = blinking(frames, chosen, reference)
        if samples is None:
            expression: NDArray = idle_expression(self.face_model, portrait.fit, frames, seed=chosen.seed)
            turned: NDArray = idle_head(frames, seed=chosen.seed)
        else:
            expression, turned = self._spoken(portrait, samples, frames, blink, chosen)
        return direct(self.face_model, portrait.fit, expression, turned, blink, chosen, reference)

    def check_live(self, controls: Controls) -> None:
        """Refuse what :meth:`live_motion` cannot do.

        Raises:
            InputError: the networks were not made for streams, or a control needs the whole recording.
        """
        check_controls(controls)
        if not (type(self._expression) is ExpressionRegressor and self._expression.streaming):
            raise InputError(
                "The expression network needs the whole recording: give expression='streaming', or one of your own "
                "from configs/streaming.yaml."
            )
        if not isinstance(self._pose, PoseCVAE):
            raise InputError("This head-pose network needs the whole recording: leave pose out for the built-in one.")

    def live_motion(self, portrait: Portrait, controls: Controls) -> StreamedMotion:
        """How a portrait moves while the sound is still arriving; see :meth:`check_live`."""
        pose = torch.from_numpy(portrait.fit.pose[:1])
        head = StreamedHead(self._pose, pose, self.head_style(controls.pose_style), seed=controls.seed)
        return StreamedMotion(self._expression, head, self.face_model, portrait.fit, controls)

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
        self,
        mel: Tensor | MelSource,
        frames: int,
        first_pose: NDArray[np.float32],
        *,
        style: HeadStyle = 0,
        seed: int = 0,
    ) -> NDArray[np.float32]:
        """Draw a head motion for speech.

        Args:
            mel: (1, 80, ...) of `expnet.audio.alignment.mel_for_frames`, or a function that gives it piece by piece.
            frames: T.
            first_pose: (1, 6) the portrait's.
            style: as in `expnet.animate.controls.controls.Controls`.
            seed: same seed, same motion.

        Returns:
            (T, 6) relative to the first pose.
        """
        generator = torch.Generator().manual_seed(seed)
        drawn = self._pose.sample(mel, frames, torch.from_numpy(first_pose), self.head_style(style), generator)
        return drawn[0].numpy()

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
        sound = CachedMel(samples)
        mel = _mel_of(sound, frames, in_pieces=isinstance(self._expression, ExpressionRegressor))
        heard = {}
        if self._speech_encoder is not None:
            heard["features"] = torch.from_numpy(self._speech_encoder(np.asarray(samples), frames))[None]  # (1, T, F)
        first = torch.from_numpy(lips_shut(self.face_model, portrait.fit))
        spoken = self._expression(mel, frames, first, blink=torch.from_numpy(blink)[None], **heard)[0]  # (T, 64)
        in_pieces = isinstance(self._pose, PoseCVAE)
        # A head that could be streamed hears the sound of a while ago.
        delay = head_delay(self._pose.window) if streaming and in_pieces else 0
        if delay or not isinstance(mel, Tensor):  # otherwise both hear the same
            mel = _mel_of(sound, frames, in_pieces=in_pieces, delay=delay)
        turned = self.head_motion(mel, frames, portrait.fit.pose[:1], style=controls.pose_style, seed=controls.seed)
        rest = first[0].numpy()
        average = RunningAverage()(spoken.numpy() - rest) if streaming else None
        return scale_expression(spoken.numpy(), rest, controls.expression_scale, average), turned


def _mel_of(sound: CachedMel, frames: int, *, in_pieces: bool, delay: int = 0) -> Tensor | MelSource:
    """The mel of a speech for a network; of a long one, or one that comes late, in pieces where the network takes them.

    Args:
        sound: the speech.
        frames: T.
        in_pieces: whether it does.
        delay: frames that the sound is late, a multiple of five.
    """
    if in_pieces and (delay or frames > LONGEST):
        return sound.delayed(delay)
    return mel_for_frames(sound.samples, -delay, frames)[None]


def frames_of(samples: Samples) -> int:
    """Frames at 25 a second that cover the samples."""
    return max(-(-len(samples) // SAMPLES_PER_FRAME), 1)
