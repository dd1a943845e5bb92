"""How a portrait moves: what the networks give for its speech, and the controls applied to it.

speech, portrait -> sampled_motion or regressed_motion -> expression, head pose, blinks -> controls -> Motion
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.animate.controls.apply_controls import Motion, apply_controls, blinks_for
from expnet.animate.controls.calm import calm_lids, calm_lips
from expnet.animate.controls.controls import Controls, HeadStyle
from expnet.animate.controls.idle import idle_expression, idle_head
from expnet.animate.controls.motion_scale import close_lips, identity_of, scale_expression
from expnet.animate.controls.reference_video import ReferenceMotion, hold_lids, measure_reference
from expnet.animate.live_sampled_motion import LiveSampledMotion
from expnet.animate.motion_networks import MotionNetworks, Weights
from expnet.animate.regressed_motion import SpeechMel, mel_for_head, regress_expression
from expnet.animate.sampled_motion import SampledMotion
from expnet.animate.streaming import StreamedHead, StreamedMotion, check_controls
from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.pauses import pauses
from expnet.audio.stored_samples import Samples
from expnet.coefficients import DEFAULT_FACE_MODEL
from expnet.errors import InputError
from expnet.face.facial_features import feature_space
from expnet.face.morphable import load_face_model
from expnet.face.tracker import FaceTracker
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.flow_matching.live import Schedule
from expnet.models.interfaces import draws_live, runs_live
from expnet.models.mel_source import MelSource
from expnet.models.pose_cvae import PoseCVAE
from expnet.render.portrait import Portrait

LiveMotion = StreamedMotion | LiveSampledMotion
"""Motion for live speech: ``push(samples)`` and ``finish()`` give frames, ``latency`` their delay in milliseconds."""


class MotionSource:
    """The networks that move portraits to speech.

    Args:
        motion: How portraits move unless their controls choose: "regressed" or "sampled"
            (`expnet.models.packaged_weights.MOTIONS`), or weights of a motion network, whose motion is sampled. None
            for `expnet.models.packaged_weights.DEFAULT_MOTION`, or "regressed" where one of the next two is given.
        expression: Weights of the expression network (run folder, .ckpt or .safetensors), or the name of built-in ones:
            "whisper", "mel", or "streaming" for :meth:`live_motion`. None loads "whisper" where the weights of its
            speech encoder are found, and "mel" otherwise. Given with sampled motion, it replaces its expression.
        pose: Weights of the head-pose network, or None for the built-in ones. Given with sampled motion, it replaces
            its head motion.
        speech_encoder: File or folder of the speech encoder (`expnet.audio.speech_encoders`) whose features the
            expression or motion network was trained on; None to search the fetched assets for it.
        face_model: Face model of the coefficients.
        tracker: Face tracker for reference videos and styles; None for the built-in models.

    Raises:
        InputError: Weights do not exist, are damaged, or belong to another task or face model.
    """

    def __init__(
        self,
        *,
        motion: Weights = None,
        expression: Weights = None,
        pose: Weights = None,
        speech_encoder: Weights = None,
        face_model: str = DEFAULT_FACE_MODEL,
        tracker: FaceTracker | None = None,
    ) -> None:
        self._tracker = tracker
        self.face_model = load_face_model(face_model)
        self.networks = MotionNetworks(
            self.face_model,
            tracker,
            motion=motion,
            expression=expression,
            pose=pose,
            speech_encoder=speech_encoder,
        )

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
        if samples is None:
            blink = blinks_for(frames, chosen, reference)
            expression: NDArray = idle_expression(self.face_model, portrait.fit, frames, seed=chosen.seed)
            relative_pose: NDArray = idle_head(frames, seed=chosen.seed)
        else:
            expression, relative_pose, blink = self._speak(portrait, SpeechMel(samples, frames), chosen, reference)
        return apply_controls(self.face_model, portrait.fit, expression, relative_pose, blink, chosen, reference)

    def check_live(self, controls: Controls) -> None:
        """Refuse what :meth:`live_motion` cannot do.

        Raises:
            InputError: A network was not made for live speech, or a control needs the whole recording.
        """
        check_controls(controls)
        if self.networks.kind_for(controls) == "regressed":
            self._live_networks()
        elif not {"expression", "head"} <= set(self.networks.sampler.groups):
            raise InputError(
                "Live motion that is sampled comes from one network, which draws expression and head: leave expression "
                "and pose out."
            )

    def live_motion(self, portrait: Portrait, controls: Controls, *, lookahead: float | None = None) -> LiveMotion:
        """Return the motion of a portrait for speech that is still arriving.

        Args:
            portrait: The portrait.
            controls: Controls, except for those that need the whole recording.
            lookahead: Seconds of speech that a block of sampled frames waits for; None for the usual ones.

        Raises:
            InputError: See :meth:`check_live`, the look-ahead is out of range, or there is no such head-motion style.
        """
        self.check_live(controls)
        if self.networks.kind_for(controls) == "sampled":
            style = self.networks.sampled_style(controls.pose_style)
            schedule = Schedule() if lookahead is None else Schedule.of_seconds(lookahead)
            return LiveSampledMotion(
                self.networks.sampler, self.face_model, portrait.fit, controls, schedule, style=style
            )
        if lookahead is not None:
            raise InputError("The look-ahead of regressed motion is that of its network: leave lookahead out.")
        expression, pose = self._live_networks()
        first_pose = torch.from_numpy(portrait.fit.pose[:1])
        head = StreamedHead(pose, first_pose, self.head_style(controls.pose_style), seed=controls.seed)
        return StreamedMotion(expression, head, self.face_model, portrait.fit, controls)

    def head_style(self, style: HeadStyle) -> Tensor:
        """Return a head-motion style for the head-pose network, see `MotionNetworks.head_style`."""
        return self.networks.head_style(style)

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
        drawn = self.networks.pose.sample(mel, frames, torch.from_numpy(first_pose), self.head_style(style), generator)
        return drawn[0].numpy()

    def _live_networks(self) -> tuple[ExpressionRegressor, PoseCVAE]:
        """Return the networks if both can follow live speech."""
        expression, pose = self.networks.expression, self.networks.pose
        if not runs_live(expression):
            raise InputError(
                "The expression network needs the whole recording: give expression='streaming', or a network of your "
                "own trained with configs/streaming.yaml."
            )
        if not draws_live(pose):
            raise InputError("This head-pose network needs the whole recording: leave pose out for the built-in one.")
        return expression, pose

    def _reference(self, controls: Controls, frames: int) -> ReferenceMotion | None:
        """Measure the reference video that the controls name, and fit its length."""
        if controls.reference_video is None:
            return None
        return measure_reference(controls.reference_video, self.face_model, self._tracker).fit_length(frames)

    def _speak(
        self, portrait: Portrait, speech: SpeechMel, controls: Controls, reference: ReferenceMotion | None
    ) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.float32]]:
        """Return expression (T, 64) at its scale, head pose (T, 6) relative to the portrait's, and blinks (T,)."""
        rest = close_lips(self.face_model, portrait.fit)
        drawn = self._sample(portrait, speech, rest, controls)
        sampled_blinks = drawn.blink is not None and controls.blink == "auto" and not controls.takes("blink")
        blink = drawn.blink if sampled_blinks else blinks_for(speech.frames, controls, reference)
        assert blink is not None
        if drawn.expression is None:
            expression = self._regress(portrait, speech, rest, blink, controls)
        else:
            scale = controls.scale_of("sampled")
            expression = scale_expression(drawn.expression.astype(np.float64), rest[0].astype(np.float64), scale)
            expression = self._calm_lips(portrait, speech, expression, rest)
            expression = self._calm_lids(portrait, expression, rest, sampled_blinks=sampled_blinks)
        relative_pose = drawn.pose
        if relative_pose is None:
            mel = mel_for_head(
                self.networks, speech, live=drawn.expression is None and self.networks.expression.streaming
            )
            first_pose, style = portrait.fit.pose[:1], controls.pose_style
            relative_pose = self.head_motion(mel, speech.frames, first_pose, style=style, seed=controls.seed)
        return expression, relative_pose, blink

    def _regress(
        self,
        portrait: Portrait,
        speech: SpeechMel,
        rest: NDArray[np.float32],
        blink: NDArray[np.float32],
        controls: Controls,
    ) -> NDArray[np.floating]:
        """Return a regressed expression (T, 64) at its scale, with lips that rest in pauses."""
        self.networks.advise()
        expression = regress_expression(self.networks, speech, rest, blink, controls)
        if self.networks.expression.streaming:  # live speech has no pauses before it has ended
            return expression
        return self._calm_lips(portrait, speech, expression.astype(np.float64), rest)

    def _calm_lips(
        self, portrait: Portrait, speech: SpeechMel, expression: NDArray[np.float64], rest: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return an expression (T, 64) with lips that rest in pauses."""
        resting = pauses(speech.samples, speech.frames)
        closed = rest[0].astype(np.float64)
        return calm_lips(feature_space(self.face_model), identity_of(portrait.fit), expression, closed, resting)

    def _calm_lids(
        self,
        portrait: Portrait,
        expression: NDArray[np.float64],
        rest: NDArray[np.float32],
        *,
        sampled_blinks: bool,
    ) -> NDArray[np.float64]:
        """Return a sampled expression (T, 64) whose eyelids do not tremble; held where blinks come from elsewhere."""
        space, identity = feature_space(self.face_model), identity_of(portrait.fit)
        if sampled_blinks:
            return calm_lids(space, identity, expression)
        return hold_lids(space, identity, expression, rest[0].astype(np.float64))

    def _sample(
        self, portrait: Portrait, speech: SpeechMel, rest: NDArray[np.float32], controls: Controls
    ) -> SampledMotion:
        """Draw a performance from the motion network, or nothing where motion is regressed."""
        if self.networks.kind_for(controls) == "regressed":
            return SampledMotion()
        sampler = self.networks.sampler
        return sampler.draw(
            speech.samples,
            speech.frames,
            torch.from_numpy(rest),
            torch.from_numpy(portrait.fit.pose[:1]),
            style=self.networks.sampled_style(controls.pose_style if "head" in sampler.groups else 0),
            seed=controls.seed,
        )


def frames_covering(samples: Samples) -> int:
    """Return the number of frames at 25 frames/s that cover the samples."""
    return max(-(-len(samples) // SAMPLES_PER_FRAME), 1)
