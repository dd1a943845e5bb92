"""Sampled motion for live speech: chunks of samples in, blocks of frames out.

speech so far -> the last seconds of it -> speech encoder -> motion network -> a block, and a guess at what follows
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.animate.controls.apply_controls import Motion, apply_controls
from expnet.animate.controls.blinks import LiveBlinks
from expnet.animate.controls.calm import calm_lids, calm_lips
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.motion_scale import RunningAverage, close_lips, identity_of, scale_expression
from expnet.animate.controls.reference_video import hold_lids
from expnet.animate.sampled_motion import MotionSampler
from expnet.animate.streaming import DrawnBlinks
from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.pauses import RunningPeak, frame_levels, quiet
from expnet.audio.trailing_samples import TrailingSamples
from expnet.coefficients import FaceCoefficients
from expnet.face.facial_features import feature_space
from expnet.face.morphable import MorphableModel
from expnet.models.flow_matching.live import LiveFlow, Schedule

Array = NDArray[np.float64]

_REACH = 25
"""Frames before a block that the calming of lips and eyelids looks at."""


class LiveSampledMotion:
    """Sampled motion of a portrait while the audio is still arriving.

    Args:
        sampler: Motion network and speech encoder.
        face_model: Face model of the coefficients.
        fit: Coefficients of the portrait, one frame.
        controls: Controls of the motion; see `expnet.animate.streaming.check_controls`.
        schedule: When blocks are drawn.
        style: Head-motion style, as in `MotionSampler.draw`.
    """

    def __init__(
        self,
        sampler: MotionSampler,
        face_model: MorphableModel,
        fit: FaceCoefficients,
        controls: Controls,
        schedule: Schedule,
        *,
        style: Tensor,
    ) -> None:
        self._sampler, self._face_model, self._fit, self._controls = sampler, face_model, fit, controls
        self._rest = close_lips(face_model, fit)
        self._flow = LiveFlow(
            sampler.network,
            torch.from_numpy(self._rest),
            schedule,
            first_pose=torch.from_numpy(fit.pose[:1]),
            style=style,
            seed=controls.seed,
        )
        self._speech, self._schedule = TrailingSamples(), schedule
        self._calm = _LiveCalm(face_model, fit, self._rest[0].astype(np.float64), schedule)
        self._average = RunningAverage()
        self._blinks, self._drawn_blinks = LiveBlinks(), DrawnBlinks(controls)

    @property
    def latency(self) -> float:
        """Milliseconds from the start of a frame to the arrival of the audio that determines it, at most."""
        return self._schedule.delay * SAMPLES_PER_FRAME / 16

    def push(self, samples: NDArray[np.floating]) -> Iterator[Motion]:
        """Add samples (S,) at 16 kHz and yield the blocks of frames that they determine.

        Raises:
            InputError: The samples are not finite, or not mono.
        """
        self._speech.push(samples)
        while self._schedule.heard(self._flow.frame) * SAMPLES_PER_FRAME <= self._speech.received:
            yield self._advance(self._schedule.hop)

    def finish(self) -> Iterator[Motion]:
        """Yield the remaining frames when the audio has ended."""
        frames = -(-self._speech.received // SAMPLES_PER_FRAME)
        while self._flow.frame < frames:
            yield self._advance(min(self._schedule.hop, frames - self._flow.frame))

    @torch.inference_mode()
    def _advance(self, count: int) -> Motion:
        """Draw a block and return its first frames."""
        first, frame, hop = self._flow.first, self._flow.frame, self._schedule.hop
        end = self._schedule.heard(frame)
        heard = self._speech.frames(first, end)
        drawn = self._flow.draw(self._sampler.embed(heard, end - first))
        self._speech.forget(self._flow.first)
        assert drawn.expression is not None
        assert drawn.pose is not None
        lids = drawn.lids if self._controls.blink == "auto" else None
        blink = self._drawn_blinks(frame, hop) if lids is None else self._blinks(lids[0, :hop].numpy())
        face = self._scaled(drawn.expression[0].numpy().astype(np.float64))
        levels = frame_levels(heard[-len(face) * SAMPLES_PER_FRAME :])
        face = self._calm(face, levels, sampled_blinks=lids is not None)
        return apply_controls(
            self._face_model,
            self._fit,
            face[:count],
            drawn.pose[0, :count].numpy(),
            blink[:count],
            self._controls,
            first=frame,
        )

    def _scaled(self, drawn: Array) -> Array:
        """Scale a block and the guess after it (T, E) about the average of the motion so far."""
        hop, rest = self._schedule.hop, self._rest[0].astype(np.float64)
        average = self._average(drawn[:hop] - rest)  # (hop, E)
        average = np.concatenate([average, np.repeat(average[-1:], len(drawn) - hop, axis=0)])
        return scale_expression(drawn, rest, self._controls.scale_of("sampled"), average)


class _LiveCalm:
    """Lips that rest in pauses and eyelids that do not tremble, judged by the frames before and the guess after."""

    def __init__(self, face_model: MorphableModel, fit: FaceCoefficients, rest: Array, schedule: Schedule) -> None:
        self._space, self._identity, self._rest = feature_space(face_model), identity_of(fit), rest
        self._hop, self._peak = schedule.hop, RunningPeak()
        self._faces, self._levels = np.empty((0, len(rest))), np.empty(0)

    def __call__(self, faces: Array, levels: Array, *, sampled_blinks: bool) -> Array:
        """Return the calmed block (hop, E).

        Args:
            faces: Expression (T, E) of the block and of the guess after it.
            levels: Level (T,) of these frames in dBFS.
            sampled_blinks: Whether blinks were sampled with the expression; otherwise the lids are held at rest.
        """
        peak = self._peak(levels[-self._hop :] if len(self._faces) else levels)
        before = len(self._faces)
        faces, levels = np.concatenate([self._faces, faces]), np.concatenate([self._levels, levels])
        calm = calm_lips(self._space, self._identity, faces, self._rest, quiet(levels, peak))
        if sampled_blinks:
            calm = calm_lids(self._space, self._identity, calm)
        else:
            calm = hold_lids(self._space, self._identity, calm, self._rest)
        end = before + self._hop
        self._faces, self._levels = faces[max(end - _REACH, 0) : end], levels[max(end - _REACH, 0) : end]
        return calm[before:end]
