"""The networks that move portraits, each opened when it is first needed."""

from __future__ import annotations

import os
from functools import cached_property

import torch
from torch import Tensor

from expnet.animate.controls.controls import Controls, HeadStyle
from expnet.animate.controls.reference_video import track_video
from expnet.animate.sampled_motion import MotionSampler
from expnet.assets.encoders import open_speech_encoder
from expnet.assets.packaged_expression import advise_encoder, choose_motion, expression_weights
from expnet.audio.speech_encoders import SpeechEncoder
from expnet.errors import InputError
from expnet.face.fitting import fit_clip
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import FaceTracker
from expnet.models.interfaces import (
    ExpressionNetwork,
    HeadPoseNetwork,
    load_expression_network,
    load_head_pose_network,
    measures_styles,
)
from expnet.models.packaged_weights import MotionKind, packaged_weights
from expnet.models.pose_style import LAGS

Weights = str | os.PathLike[str] | None


class MotionNetworks:
    """The networks of `expnet.animate.motion_source.MotionSource`, whose arguments these are.

    Those of the chosen kind of motion are opened at once, so that what is wrong with them is said before any work; the
    others when a video asks for them.
    """

    def __init__(
        self,
        face_model: MorphableModel,
        tracker: FaceTracker | None,
        *,
        motion: Weights = None,
        expression: Weights = None,
        pose: Weights = None,
        speech_encoder: Weights = None,
    ) -> None:
        self._face_model, self._tracker = face_model, tracker
        self._expression, self._pose, self._encoder = expression, pose, speech_encoder
        self.default_motion, self._motion = choose_motion(
            motion,
            other_networks=expression is not None or pose is not None,
            encoder=speech_encoder is not None,
        )
        for name in ("expression", "speech_encoder", "pose") if self.default_motion == "regressed" else ("sampler",):
            getattr(self, name)

    def kind_for(self, controls: Controls) -> MotionKind:
        """Return how a portrait moves under these controls."""
        return controls.motion or self.default_motion

    @cached_property
    def expression(self) -> ExpressionNetwork:
        """The expression network."""
        weights = expression_weights(self._expression, speech_encoder=self._encoder, advise=False)
        network = load_expression_network(weights)
        self._check_face_model("expression", network.face_model)
        return network

    @cached_property
    def speech_encoder(self) -> SpeechEncoder | None:
        """The speech encoder of the expression network; None if it reads the mel alone."""
        return open_speech_encoder(self.expression, self._encoder)

    def advise(self) -> None:
        """Log one warning if a speech encoder that is not there would make the lips better, once there is speech."""
        if self._expression is None and self.speech_encoder is None:
            advise_encoder()

    @cached_property
    def pose(self) -> HeadPoseNetwork:
        """The head-pose network."""
        return load_head_pose_network(packaged_weights("pose") if self._pose is None else self._pose)

    @cached_property
    def sampler(self) -> MotionSampler:
        """The motion network, for the parts of a motion for which no other network was given."""
        replaced = (("expression", self._expression), ("head", self._pose))
        sampler = MotionSampler(
            packaged_weights("motion") if self._motion is None else self._motion,
            self._encoder,
            without=[group for group, given in replaced if given is not None],
        )
        self._check_face_model("motion", sampler.network.face_model)
        return sampler

    @property
    def styles(self) -> int:
        """Number of head-motion styles that are known by number, including the average style."""
        return int(self.pose.options["styles"])

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
        if not measures_styles(self.pose):
            raise InputError(f"pose_style {style}: this head-pose network takes a number, not a video.")
        return self.pose.style_of(*self._head_of(style))

    def sampled_style(self, style: HeadStyle) -> Tensor:
        """Return a head-motion style for the motion network: 0 for the average one (1,), or a measured one (1, 12).

        Numbers are those of the head-pose network, so that a number means the same style however the portrait moves.

        Raises:
            InputError: As for `head_style`.
        """
        network = self.sampler.network
        if not isinstance(style, int):
            return network.style_of(*self._head_of(style))
        if style == 0:
            return torch.zeros(1, dtype=torch.long)
        number = self.head_style(style)
        if not measures_styles(self.pose):
            raise InputError(f"pose_style {style}: this head-pose network has no styles for sampled motion.")
        units = self.pose.pose_std / network.pose_std  # (6,)
        return self.pose.styles(number) * units.repeat(len(LAGS))  # (1, 12)

    def _head_of(self, video: HeadStyle) -> tuple[Tensor, Tensor]:
        """Return the poses (T, 6) of the head in a video, and in which frames it was found (T,)."""
        track = track_video(str(video), "to measure a head-motion style", self._tracker)
        motion = fit_clip(self._face_model, track.points, track.found)
        return torch.from_numpy(motion.pose), torch.from_numpy(track.found)

    def _check_face_model(self, task: str, needed: str) -> None:
        if needed != self._face_model.name:
            raise InputError(
                f"The {task} network predicts coefficients of the face model '{needed}', but face_model is "
                f"'{self._face_model.name}'; use the face model that the network was trained with."
            )
