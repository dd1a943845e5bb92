"""Motion that is drawn by the motion network: expression, head motion and lids of one performance.

speech -> speech encoder -> features --+
portrait, lips closed -> expression ---+-> motion network, seed -> expression, head pose, lids
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.animate.controls.blinks import clear_blinks
from expnet.assets.encoders import open_speech_encoder
from expnet.audio.alignment import mel_for_frames
from expnet.audio.speech_encoders import SlidingFeatures
from expnet.audio.stored_samples import Samples
from expnet.models.flow_matching.sampler import speech_source
from expnet.models.interfaces import load_motion_network
from expnet.models.mel_source import CachedMel


@dataclass(frozen=True, eq=False)
class SampledMotion:
    """One performance; what is not sampled is None.

    Attributes:
        expression: (T, E) coefficients.
        pose: (T, 6) head pose relative to the portrait's.
        blink: (T,) closure of the eyelids, from 0, open, to 1, closed.
    """

    expression: NDArray[np.float32] | None = None
    pose: NDArray[np.float32] | None = None
    blink: NDArray[np.float32] | None = None


class MotionSampler:
    """A motion network with its speech encoder.

    Args:
        weights: Weights of the motion network.
        speech_encoder: File or folder of its speech encoder; None to search the fetched assets.
        without: Groups (`expnet.models.flow_matching.layout.GROUPS`) that other networks provide.

    Raises:
        InputError: The weights belong to another task, or the speech encoder is missing or has other weights.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str],
        speech_encoder: str | os.PathLike[str] | None = None,
        *,
        without: Sequence[str] = (),
    ) -> None:
        self.network = load_motion_network(weights)
        self.groups = tuple(group for group in self.network.layout.groups if group not in without)
        self._encoder = open_speech_encoder(self.network, speech_encoder)

    @torch.inference_mode()
    def draw(
        self, samples: Samples, frames: int, first: Tensor, first_pose: Tensor, *, style: Tensor, seed: int
    ) -> SampledMotion:
        """Draw a performance.

        Args:
            samples: Speech (S,) at 16 kHz.
            frames: Number of frames T.
            first: (1, E) expression of the portrait with closed lips.
            first_pose: (1, 6) pose of the portrait.
            style: Head-motion style, as in `expnet.models.flow_matching.motion_flow.MotionFlow.sample`.
            seed: The same seed gives the same performance.
        """
        features = None
        if self._encoder is not None:
            encoded = SlidingFeatures(self._encoder, samples, frames)
            features = lambda begin, count: torch.from_numpy(encoded(begin, count))[None]  # noqa: E731 (1, T, F)
        drawn = self.network.sample(
            frames,
            first,
            mel=CachedMel(samples) if features is None else None,
            features=features,
            first_pose=first_pose,
            style=style,
            seed=seed,
        )
        parts = zip(("expression", "head", "lids"), (drawn.expression, drawn.pose, drawn.lids), strict=True)
        expression, pose, lids = (None if x is None or name not in self.groups else x[0].numpy() for name, x in parts)
        if lids is not None:
            lids = clear_blinks(lids)
        return SampledMotion(expression, pose, lids)

    @torch.inference_mode()
    def embed(self, samples: NDArray[np.float32], frames: int) -> Tensor:
        """Embed samples (640 T,) of T = ``frames`` frames for the network: (1, T, D)."""
        heard = {} if self._encoder is None else {"features": torch.from_numpy(self._encoder(samples, frames))[None]}
        mel = None if heard else mel_for_frames(samples, 0, frames)[None]
        return speech_source(self.network, mel, heard.get("features"), frames)(0, frames)
