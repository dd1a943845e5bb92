"""Motion from the expression network, which regresses it, and the head-pose network, which draws it.

first expression, mel -> expression network -> expression
first pose, mel ------> head-pose network ---> head pose
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.animate.controls.controls import Controls
from expnet.animate.controls.motion_scale import RunningAverage, scale_expression
from expnet.animate.motion_networks import MotionNetworks
from expnet.animate.streaming import head_delay
from expnet.audio.alignment import mel_for_frames
from expnet.audio.stored_samples import Samples
from expnet.models.expression_regressor import LONGEST
from expnet.models.interfaces import draws_live
from expnet.models.mel_source import CachedMel, MelSource


class SpeechMel:
    """The mel of a recording as each network takes it.

    Args:
        samples: Speech (S,) at 16 kHz.
        frames: Number of frames T.
    """

    def __init__(self, samples: Samples, frames: int) -> None:
        self.samples, self.frames = samples, frames
        self._pieces = CachedMel(samples)

    def __call__(self, *, in_pieces: bool, delay: int = 0) -> Tensor | MelSource:
        """Return the mel: in pieces where it is long or delayed and the network accepts pieces.

        Args:
            in_pieces: Whether the network accepts pieces.
            delay: Frames by which the speech is delayed, a multiple of five.
        """
        if in_pieces and (delay or self.frames > LONGEST):
            return self._pieces.delayed(delay)
        return mel_for_frames(self.samples, -delay, self.frames)[None] if delay else self._whole

    @cached_property
    def _whole(self) -> Tensor:
        """(1, 80, N), which both networks read."""
        return mel_for_frames(self.samples, 0, self.frames)[None]


def regress_expression(
    networks: MotionNetworks,
    speech: SpeechMel,
    rest: NDArray[np.float32],
    blink: NDArray[np.float32],
    controls: Controls,
) -> NDArray[np.floating]:
    """Return the expression (T, 64) of speech at its scale.

    Args:
        networks: The networks.
        speech: The speech of T frames.
        rest: Expression (1, 64) of the portrait with closed lips.
        blink: Closure of the eyelids (T,).
        controls: Controls of the motion.
    """
    network, encoder, encoded = networks.expression, networks.speech_encoder, {}
    if encoder is not None:
        encoded["features"] = torch.from_numpy(encoder(speech.samples, speech.frames))[None]  # (1, T, F)
    mel = speech(in_pieces=network.takes_pieces)
    predicted = network(mel, speech.frames, torch.from_numpy(rest), blink=torch.from_numpy(blink)[None], **encoded)[
        0
    ].numpy()  # (T, 64)
    average = RunningAverage()(predicted - rest[0]) if network.streaming else None
    return scale_expression(predicted, rest[0], controls.scale_of("regressed"), average)


def mel_for_head(networks: MotionNetworks, speech: SpeechMel, *, live: bool) -> Tensor | MelSource:
    """Return the mel that the head follows.

    Args:
        networks: The networks.
        speech: The speech.
        live: Whether the expression is that of a streaming system: the head then follows delayed speech, so that the
            video equals the live one.
    """
    delay = head_delay(networks.pose.window) if live and draws_live(networks.pose) else 0
    return speech(in_pieces=networks.pose.takes_pieces, delay=delay)
