"""How a portrait moves: the predictions of the networks for its speech, and the controls applied to them.

first expression, mel -> expression network -> expression --+
first pose, mel ------> head-pose network ---> head pose ---+-> controls -> Motion
"""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.animate.controls.apply_controls import Motion, apply_controls, blinks_for
from expnet.animate.controls.controls import Controls, HeadStyle
from expnet.animate.controls.idle import idle_expression, idle_head
from expnet.animate.controls.motion_scale import RunningAverage, close_lips, scale_expression
from expnet.animate.controls.reference_video import ReferenceMotion, measure_reference, track_video
from expnet.animate.streaming import StreamedHead, StreamedMotion, check_controls, head_delay
from expnet.assets.encoders import open_speech_encoder
from expnet.assets.packaged_expression import expression_weights
from expnet.audio.alignment import SAMPLES_PER_FRAME, mel_for_frames
from expnet.audio.stored_samples import Samples
from expnet.coefficients import DEFAULT_FACE_MODEL
from expnet.errors import InputError
from expnet.face.fitting import fit_clip
from expnet.face.morphable import load_face_model
from expnet.face.tracker import FaceTracker
from expnet.models.expression_regressor import LONGEST, ExpressionRegressor
from expnet.models.interfaces import (
    draws_live,
    load_expression_network,
    load_head_pose_network,
    measures_styles,
    runs_live,
)
from expnet.models.mel_source import CachedMel, MelSource
from expnet.models.packaged_weights import packaged_weights
from expnet.models.pose_cvae import PoseCVAE
from expnet.render.portrait import Portrait


class MotionSource:
    """The networks that move portraits to speech.

    Args:
        expression: Weights of the expression network (run folder, .ckpt or .safetensors), or the name of built-in ones:
            "whisper", "mel", or "streaming" for :meth:`live_motion`. None loads "whisper" where the weights of its
            speech encoder are found, and "mel" otherwise.
        pose: Weights of the head-pose network, or None for the built-in ones.
        speech_encoder: File or folder of the speech encoder (`expnet.audio.speech_encoders`) whose features the
            expression network was trained on; None to search the fetched assets for it.
        face_model: Face model of the coefficients.
        tracker: Face tracker for reference videos and styles; None for the one bundled with mediapipe.

    Raises:
        InputError: Weights do not exist, are damaged, or belong to another task or face model.
    """

    def __init__(
        self,
        *,
        expression: str | os.PathLike[str] | None = None,
        pose: str | os.PathLike[str] | None = None,
        speech_encoder: str | os.PathLike[str] | None = None,
        face_model: str = DEFAULT_FACE_MODEL,
        tracker: FaceTracker | None = None,
    ) -> None:
        self._tracker = tracker
        self.face_model = load_face_model(face_model)
        self._expression = load_expression_network(expression_weights(expression, speech_encoder=speech_encoder))
        needed = self._expression.face_model
        if needed != self.face_model.name:
            raise InputError(
                f"The expression network predicts coefficients of the face model '{needed}', but face_model is "
                f"'{self.face_model.name}'; use the face model that the network was trained with."
            )
        self._speech_encoder = open_speech_encoder(self._expression, speech_encoder)
        self._pose = load_head_pose_network(packaged_weights("pose") if pose is None else pose)

    @torch.inference_mode()
    def motion(
        self,
        portrait: Portrait,
        samples: Samples | None,
        frames: int | None = None,
        *,
        controls: Controls | None = None,
    ) -> Motion:
        """Compute the motion of a portrait.

        Args:
            portrait: The portrait, see :meth:`expnet.animate.animator.Animator.portrait`.
            samples: Speech (S,) at 16 kHz, or None for idle motion.
            frames: Length at 25 frames/s; by default that of the speech.
            controls: Controls of the motion; None for the defaults.

        Returns:
            Coefficients and blinks at the controls' frame rate. The first frame is the portrait.
        """
        chosen = controls or Controls()
        if frames is None:
            if samples is None:
                raise ValueError("the number of frames is required when there is no speech")
            frames = frames_covering(samples)
        reference = self._reference(chosen, frames)
        blink = blinks_for(frames, chosen, reference)
        if samples is None:
            expression: NDArray = idle_expression(self.face_model, portrait.fit, frames, seed=chosen.seed)
            relative_pose: NDArray = idle_head(frames, seed=chosen.seed)
        else:
            expression, relative_pose = self._predict(portrait, samples, frames, blink, chosen)
        return apply_controls(self.face_model, portrait.fit, expression, relative_pose, blink, chosen, reference)

    def check_live(self, controls: Controls) -> None:
        """Refuse what :meth:`live_motion` cannot do.

        Raises:
            InputError: A network was not made for live speech, or a control needs the whole recording.
        """
        check_controls(controls)
        self._live_networks()

    def live_motion(self, portrait: Portrait, controls: Controls) -> StreamedMotion:
        """Return the motion of a portrait for speech that is still arriving.

        Raises:
            InputError: See :meth:`check_live`, or there is no such head-motion style.
        """
        check_controls(controls)
        expression, pose = self._live_networks()
        first_pose = torch.from_numpy(portrait.fit.pose[:1])
        head = StreamedHead(pose, first_pose, self.head_style(controls.pose_style), seed=controls.seed)
        return StreamedMotion(expression, head, self.face_model, portrait.fit, controls)

    def head_style(self, style: HeadStyle) -> Tensor:
        """Return a head-motion style for the head-pose network: a number (1,), or one measured in a video (1, 12).

        Raises:
            InputError: There is no such style, the video shows no face for long enough, or the network accepts only
                numbers.
        """
        if isinstance(style, int):
            if not 0 <= style < self.styles:
                raise InputError(
                    f"pose_style {style} does not exist: the network knows 0 to {self.styles - 1}, or a video."
                )
            return torch.tensor([style])
        if not measures_styles(self._pose):
            raise InputError(f"pose_style {style}: this head-pose network takes a number, not a video.")
        track = track_video(style, "to measure a head-motion style", self._tracker)
        motion = fit_clip(self.face_model, track.points, track.found)
        return self._pose.style_of(torch.from_numpy(motion.pose), torch.from_numpy(track.found))

    @property
    def styles(self) -> int:
        """Number of head-motion styles that the head-pose network knows by number, including the average style."""
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
            mel: Mel (1, 80, ...) from `expnet.audio.alignment.mel_for_frames`, or a function that returns it piece by
                piece.
            frames: Number of frames T.
            first_pose: Pose (1, 6) of the portrait.
            style: Head-motion style, as in `expnet.animate.controls.controls.Controls`.
            seed: The same seed gives the same motion.

        Returns:
            (T, 6) relative to the first pose.
        """
        generator = torch.Generator().manual_seed(seed)
        drawn = self._pose.sample(mel, frames, torch.from_numpy(first_pose), self.head_style(style), generator)
        return drawn[0].numpy()

    def _live_networks(self) -> tuple[ExpressionRegressor, PoseCVAE]:
        """Return the networks if both can follow live speech."""
        if not runs_live(self._expression):
            raise InputError(
                "The expression network needs the whole recording: give expression='streaming', or a network of your "
                "own trained with configs/streaming.yaml."
            )
        if not draws_live(self._pose):
            raise InputError("This head-pose network needs the whole recording: leave pose out for the built-in one.")
        return self._expression, self._pose

    def _reference(self, controls: Controls, frames: int) -> ReferenceMotion | None:
        """Measure the reference video that the controls name, and fit its length."""
        if controls.reference_video is None:
            return None
        return measure_reference(controls.reference_video, self.face_model, self._tracker).fit_length(frames)

    def _predict(
        self,
        portrait: Portrait,
        samples: Samples,
        frames: int,
        blink: NDArray[np.float32],
        controls: Controls,
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Run the networks: expression (T, 64) at its scale, and head pose (T, 6) relative to the portrait's."""
        streaming = self._expression.streaming
        speech = CachedMel(samples)
        mel = _mel_for(speech, frames, in_pieces=self._expression.takes_pieces)
        encoded = {}
        if self._speech_encoder is not None:
            encoded["features"] = torch.from_numpy(self._speech_encoder(samples, frames))[None]  # (1, T, F)
        first = torch.from_numpy(close_lips(self.face_model, portrait.fit))
        predicted = self._expression(mel, frames, first, blink=torch.from_numpy(blink)[None], **encoded)[0]  # (T, 64)
        # In a streaming system the head follows delayed speech, so that the video equals the live one.
        delay = head_delay(self._pose.window) if streaming and draws_live(self._pose) else 0
        if delay or not isinstance(mel, Tensor):  # otherwise both networks read the same mel
            mel = _mel_for(speech, frames, in_pieces=self._pose.takes_pieces, delay=delay)
        relative_pose = self.head_motion(
            mel, frames, portrait.fit.pose[:1], style=controls.pose_style, seed=controls.seed
        )
        expression, rest = predicted.numpy(), first[0].numpy()
        average = RunningAverage()(expression - rest) if streaming else None
        return scale_expression(expression, rest, controls.expression_scale, average), relative_pose


def _mel_for(speech: CachedMel, frames: int, *, in_pieces: bool, delay: int = 0) -> Tensor | MelSource:
    """Return the mel of speech for a network: in pieces where it is long or delayed and the network accepts pieces.

    Args:
        speech: The speech.
        frames: Number of frames T.
        in_pieces: Whether the network accepts pieces.
        delay: Frames by which the speech is delayed, a multiple of five.
    """
    if in_pieces and (delay or frames > LONGEST):
        return speech.delayed(delay)
    return mel_for_frames(speech.samples, -delay, frames)[None]


def frames_covering(samples: Samples) -> int:
    """Return the number of frames at 25 frames/s that cover the samples."""
    return max(-(-len(samples) // SAMPLES_PER_FRAME), 1)
