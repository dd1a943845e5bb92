"""Motion of any length: windows that continue one another, drawn with guidance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from expnet.errors import InputError
from expnet.models.flow_matching.frame_smoothing import smooth_motion
from expnet.models.flow_matching.mean_motion import follow_mean
from expnet.models.flow_matching.motion import Motion, Reference, join
from expnet.models.flow_matching.noise import FrameNoise
from expnet.models.flow_matching.solver import Sampling, integrate
from expnet.models.mel_source import level_source, mel_slices
from expnet.models.pose_motion import POSE, within_reach

if TYPE_CHECKING:
    from expnet.models.flow_matching.motion_flow import MotionFlow

WINDOW = 250
"""Frames drawn at once (ten seconds), a multiple of five, see `expnet.models.mel_source.MelSource`."""
LOOKAHEAD = 20
"""Frames at the end of a window that the next window draws again, from the same noise, because they lack the speech
that follows them. The result fades from the first drawing, which continues the frames before, to the second."""

Speech = Tensor | Callable[[int, int], Tensor]
"""The whole speech, or a function of a first frame and a number of frames that returns a part of it."""


@dataclass(frozen=True, eq=False)
class GuidedVelocity:
    """The velocity of a window, guided by audio and style; frames that are known stay as they are.

    Attributes:
        network: The network.
        speech: (B, T, D) embedded speech.
        reference: What the window is drawn for.
        columns: (B, T, M) whitened motion of the known frames.
        known: (B, T, G) bool.
        sampling: Strengths of the guidance.
    """

    network: MotionFlow
    speech: Tensor
    reference: Reference
    columns: Tensor
    known: Tensor
    sampling: Sampling

    def __call__(self, state: Tensor, time: float) -> Tensor:
        """Return the velocity (B, T, M) of a state (B, T, M)."""
        network, batch = self.network, len(state)
        state = self.fixed(state)
        branches = self.sampling.branches()
        speech, condition = [], []
        for heard, styled, _ in branches:
            speech.append(network.speech.without(self.speech, torch.full((batch,), heard, device=state.device)))
            condition.append(network.condition(self.reference, torch.full((batch,), styled, device=state.device)))
        count = len(branches)
        times = torch.full((count * batch,), time, device=state.device, dtype=state.dtype)
        repeated = (x.repeat(count, 1, 1) for x in (state, self.known))
        velocity = network(next(repeated), times, next(repeated), torch.cat(speech), torch.cat(condition))
        weights = velocity.new_tensor([weight for *_, weight in branches])
        return torch.einsum("n,nbtm->btm", weights, velocity.unflatten(0, (count, batch)))

    def fixed(self, state: Tensor) -> Tensor:
        """Return the state with the known frames in place."""
        return torch.where(self.network.layout.spread(self.known), self.columns, state)


@torch.no_grad()
def draw_pieces(
    network: MotionFlow,
    frames: int,
    first_expression: Tensor,
    *,
    mel: Speech | None = None,
    features: Speech | None = None,
    first_pose: Tensor | None = None,
    style: Tensor | None = None,
    emotion: Tensor | None = None,
    seed: int | Sequence[int] = 0,
    sampling: Sampling | None = None,
) -> Iterator[Motion]:
    """Yield a motion piece by piece; for the arguments see `MotionFlow.sample`."""
    batch, device = len(first_expression), first_expression.device
    seeds = [seed] * batch if isinstance(seed, int) else list(seed)
    if len(seeds) != batch:
        raise InputError(f"A batch of {batch} needs {batch} seeds or a single one, not {len(seeds)}.")
    sampling = sampling or Sampling()
    noise = FrameNoise(seeds, network.layout, smooth=network.config.head_noise_frames)
    speech_of = speech_source(network, mel, features, frames)
    base = first_reference(network, first_expression, style, emotion)
    first_pose = torch.zeros(batch, POSE, device=device) if first_pose is None else first_pose
    previous, tail, mean_tail, start = Motion(), Motion(), Motion(), 0
    while True:
        count = min(WINDOW, frames - start)
        ends = start + count == frames
        window = Window(network, count, previous, base)
        speech = speech_of(start, count)
        drawn = window.draw(speech, noise(start, count).to(first_expression), sampling)
        mean = window.mean(speech, sampling)
        kept = count - window.known_frames - (0 if ends else LOOKAHEAD)
        piece, tail = _continue(tail, drawn.between(window.known_frames, count), kept)
        mean_piece, mean_tail = _continue(mean_tail, mean.between(window.known_frames, count), kept)
        # The next window continues the sample; the mean is a function of the speech alone, wherever a window begins.
        previous = piece if not start else join([previous, piece])
        previous = previous.between(-network.config.previous, previous.frames)
        piece = follow_mean(piece, mean_piece, first_expression, network.lip_projection, sampling)
        pose = None if piece.pose is None else within_reach(piece.pose, first_pose, network.pose_std)
        yield Motion(piece.expression, pose, piece.lids)
        if ends:
            return
        start += count - LOOKAHEAD - network.config.previous


class Window:
    """One window: which frames are known, and from where the head moves on.

    Args:
        network: The network.
        count: Frames of the window, the known ones included.
        previous: The known frames at its beginning; none for the first window.
        base: What the first window is drawn for.
    """

    def __init__(self, network: MotionFlow, count: int, previous: Motion, base: Reference) -> None:
        self.network, self.count, self.known_frames = network, count, previous.frames
        anchor = base.anchor if previous.pose is None else previous.pose[:, -1]
        self.reference = replace(base, anchor=anchor)
        self.columns, self.known = self._known(previous)

    def _known(self, previous: Motion) -> tuple[Tensor, Tensor]:
        """Return the whitened known frames (B, T, M), and which groups are known (B, T, G)."""
        layout, first = self.network.layout, self.reference.first_expression
        columns = first.new_zeros(len(first), self.count, layout.size)
        known = torch.zeros(len(first), self.count, len(layout.groups), dtype=torch.bool, device=first.device)
        if self.known_frames:
            columns[:, : self.known_frames] = self.network.whiten(previous, self.reference)
            known[:, : self.known_frames] = True
        elif "head" in layout:
            known[:, 0, layout.groups.index("head")] = True  # the head starts where it is
        return columns, known

    def draw(self, speech: Tensor, noise: Tensor, sampling: Sampling) -> Motion:
        """Draw the window from noise (B, T, M)."""
        velocity = GuidedVelocity(self.network, speech, self.reference, self.columns, self.known, sampling)
        drawn = velocity.fixed(integrate(velocity, sampling.temperature * noise, sampling))
        return self.network.unwhiten(velocity.fixed(smooth_motion(drawn, self.network)), self.reference)

    def mean(self, speech: Tensor, sampling: Sampling) -> Motion:
        """Return the mean of all expressions (`expnet.models.flow_matching.mean_motion`), whatever came before.

        Nothing is computed where no expression is drawn, or the mean has no strength.
        """
        if sampling.mean_guidance == 0 or "expression" not in self.network.layout:
            return Motion()
        zeros = torch.zeros_like(self.columns)
        everybody = torch.ones(len(zeros), dtype=torch.bool, device=zeros.device)
        condition = self.network.condition(self.reference, everybody)
        nothing = torch.zeros_like(self.known)
        velocity = self.network(zeros, zeros.new_zeros(len(zeros)), nothing, speech, condition)
        return Motion(self.network.unwhiten(velocity, self.reference).expression)


def _continue(tail: Motion, motion: Motion, kept: int) -> tuple[Motion, Motion]:
    """Fade from the last window's ``tail`` to a motion: the frames that are final, and the tail of the next fade."""
    faded = cross_fade(tail, motion)
    return faded.between(0, kept), faded.between(kept, kept + LOOKAHEAD)


def speech_source(
    network: MotionFlow, mel: Speech | None, features: Speech | None, frames: int
) -> Callable[[int, int], Tensor]:
    """Return a function of a first frame and a number of frames that returns their embedded speech (B, T, D)."""
    if isinstance(features, Tensor):
        if features.shape[1] != frames:
            raise InputError(f"The speech features are of {features.shape[1]} frames, not of {frames}.")
        every = features
        features = lambda first, count: every[:, first : first + count]  # noqa: E731
    if network.speech.features is not None or mel is None:
        heard = features
        return lambda first, count: network.speech(None, heard(first, count) if heard else None, count)
    source: Any = mel_slices(mel) if isinstance(mel, Tensor) else mel
    levelled = level_source(source, frames, running=False) if network.config.level else source
    return lambda first, count: network.speech(levelled(first, count), None, count)


def first_reference(network: MotionFlow, first: Tensor, style: Tensor | None, emotion: Tensor | None) -> Reference:
    """Return what the first window is drawn for."""
    unknown = torch.zeros(len(first), dtype=torch.long, device=first.device)
    return Reference(
        first_expression=first,
        style=network.styles(unknown if style is None else style),
        anchor=first.new_zeros(len(first), POSE),
        emotion=unknown if emotion is None else emotion,
    )


def cross_fade(tail: Motion, motion: Motion) -> Motion:
    """Fade from the frames ``tail``, if there are any, to those of a motion that begins at the same frame.

    The weight of the motion rises as ``3 u^2 - 2 u^3``, so that position and velocity are continuous.
    """
    faded = []
    for old, new in ((tail.expression, motion.expression), (tail.pose, motion.pose), (tail.lids, motion.lids)):
        if old is None or new is None:
            faded.append(new)
            continue
        frames = old.shape[1]
        place = torch.arange(1, frames + 1, device=new.device, dtype=new.dtype) / (frames + 1)
        weight = (3 * place**2 - 2 * place**3).reshape(-1, *[1] * (new.dim() - 2))  # (L, 1) or (L,)
        faded.append(torch.cat([old + weight * (new[:, :frames] - old), new[:, frames:]], dim=1))
    return Motion(*faded)
