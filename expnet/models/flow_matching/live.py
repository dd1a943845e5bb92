"""Motion drawn while the speech is arriving: short windows at fixed frames, each of which continues those before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE
from expnet.errors import InputError
from expnet.models.flow_matching.layout import MotionLayout
from expnet.models.flow_matching.mean_motion import follow_mean
from expnet.models.flow_matching.motion import Motion
from expnet.models.flow_matching.noise import FrameNoise
from expnet.models.flow_matching.sampler import Window, cross_fade, first_reference
from expnet.models.flow_matching.solver import Sampling
from expnet.models.pose_motion import POSE, within_reach

if TYPE_CHECKING:
    from expnet.models.flow_matching.motion_flow import MotionFlow

FADE = 5
"""Frames over which the step from one drawing to the next fades."""


@dataclass(frozen=True)
class Schedule:
    """When live motion is drawn, fixed by the numbers of the frames alone.

    Block k has the frames ``k hop ... (k + 1) hop - 1``. It is drawn when the speech of ``lookahead`` further frames
    has arrived.

    Attributes:
        hop: Frames that are drawn and leave together.
        lookahead: Frames of speech that the last frame of a block waits for.
        history: Frames of speech before a block that it is drawn with.

    Raises:
        InputError: A value is out of range.
    """

    hop: int = 5
    lookahead: int = 10
    history: int = 60

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 1 <= self.hop <= 25:
            raise InputError(f"Live motion is drawn every 1 to 25 frames, not {self.hop}.")
        if not 0 <= self.lookahead <= 50:
            raise InputError(f"Live motion looks 0 to 50 frames ahead, not {self.lookahead}.")
        if not 1 <= self.history <= 250:
            raise InputError(f"Live motion is drawn with 1 to 250 frames of speech before it, not {self.history}.")

    @property
    def delay(self) -> int:
        """Frames from the start of a frame to the latest moment at which it is drawn, which is when all can play."""
        return self.hop + self.lookahead

    @classmethod
    def of_seconds(cls, lookahead: float) -> Schedule:
        """Return the usual schedule with a look-ahead in seconds, to the nearest frame."""
        if not math.isfinite(lookahead):
            raise InputError(f"lookahead {lookahead}: expected seconds of speech, such as 0.4.")
        return cls(lookahead=round(lookahead * FRAME_RATE))

    def heard(self, frame: int) -> int:
        """Return how many frames of speech have arrived when the block that begins with this frame is drawn."""
        return frame + self.delay


class LiveFlow:
    """Draws the motion of one portrait block by block.

    Each window has the frames of `Schedule.history` before the block, the block, and the frames of the look-ahead. All
    are drawn anew, from the same noise as in the windows before, and only the block and its continuation are kept:
    a motion that was conditioned on its own last frames every 200 ms would drift. The head moves on from where it was
    in the first frame of the window. The step from the last frame that left to the new drawing of it fades over `FADE`
    frames. Every array has a size that depends on the number of the block alone.

    Args:
        network: The network.
        first_expression: (B, E) expression of the portrait.
        schedule: When blocks are drawn.
        first_pose: (B, 6) absolute pose of the portrait, as in `MotionFlow.sample`.
        style: Head-motion style, as in `MotionFlow.sample`.
        seed: Seed of the batch, or one for each motion.
        sampling: Steps, guidance and temperature.
    """

    def __init__(
        self,
        network: MotionFlow,
        first_expression: Tensor,
        schedule: Schedule,
        *,
        first_pose: Tensor | None = None,
        style: Tensor | None = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling | None = None,
    ) -> None:
        batch = len(first_expression)
        seeds = [seed] * batch if isinstance(seed, int) else list(seed)
        self.network, self.schedule, self.sampling = network, schedule, sampling or Sampling()
        self.frame = 0
        self._noise = FrameNoise(seeds, network.layout, smooth=network.config.head_noise_frames)
        self._base = first_reference(network, first_expression, style, None)
        self._first_pose = first_expression.new_zeros(batch, POSE) if first_pose is None else first_pose
        self._poses, self._last = first_expression.new_zeros(batch, 0, POSE), Motion()

    @property
    def first(self) -> int:
        """First frame of the next window."""
        return max(self.frame - self.schedule.history, 0)

    @torch.no_grad()
    def draw(self, speech: Tensor) -> Motion:
        """Draw the next block.

        Args:
            speech: (B, T, D) embedded speech of the frames from `first` to the last of the look-ahead.

        Returns:
            The block, and after it the frames of the look-ahead as far as they are known by now.
        """
        first, end, hop = self.first, self.schedule.heard(self.frame), self.schedule.hop
        anchor = self._poses[:, first - self.frame] if first and "head" in self.network.layout else self._base.anchor
        window = Window(self.network, end - first, Motion(), replace(self._base, anchor=anchor))
        noise = steady(self._noise(first, end - first), self._noise(0, 1), self.network.layout)
        redrawn = window.draw(speech, noise.to(speech), self.sampling)
        mean, first_expression = window.mean(speech, self.sampling), self._base.first_expression
        redrawn = follow_mean(redrawn, mean, first_expression, self.network.lip_projection, self.sampling)
        drawn = redrawn.between(self.frame - first, end - first)
        if self.frame:
            drawn = continued(self._last, redrawn.between(self.frame - first - 1, self.frame - first), drawn)
        self._last = drawn.between(hop - 1, hop)
        if drawn.pose is not None:
            self._poses = torch.cat([self._poses, drawn.pose[:, :hop]], dim=1)[:, -self.schedule.history :]
            drawn = replace(drawn, pose=within_reach(drawn.pose, self._first_pose, self.network.pose_std))
        self.frame += hop
        return drawn


def continued(last: Motion, redrawn: Motion, motion: Motion) -> Motion:
    """Let a motion continue a frame that has left: the step from its new drawing to it fades over `FADE` frames.

    Args:
        last: The frame before the motion, as it has left.
        redrawn: The same frame as it was drawn with the motion.
        motion: The motion.
    """
    pairs = zip(_parts(last), _parts(redrawn), _parts(motion.between(0, FADE)), strict=True)
    faded = cross_fade(Motion(*(None if a is None else c + (a - b) for a, b, c in pairs)), motion)
    return faded if faded.lids is None else replace(faded, lids=faded.lids.clamp(0, 1))


def _parts(motion: Motion) -> tuple[Any, Any, Any]:
    return motion.expression, motion.pose, motion.lids


def steady(noise: Tensor, constant: Tensor, layout: MotionLayout) -> Tensor:
    """Replace the average of a window's noise (B, T, M) by one that all windows share, but for the head.

    The average of the noise decides the average of the motion: how far the mouth is open at rest, how high the brows
    are. Over a recording that is a constant, but in windows that move it would wander.

    Args:
        noise: Of unit variance.
        constant: (B, 1, M) of unit variance.
        layout: The columns.
    """
    shifted = noise + constant / noise.shape[1] ** 0.5 - noise.mean(dim=1, keepdim=True)
    if "head" in layout:
        shifted[..., layout.slice("head")] = noise[..., layout.slice("head")]
    return shifted
