"""From noise to motion: the ordinary differential equation of a flow, and guidance by conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from expnet.errors import InputError

METHODS = ("euler", "midpoint")


@dataclass(frozen=True)
class Sampling:
    """How a motion is drawn.

    Attributes:
        steps: Number of steps from noise to motion; a midpoint step costs two evaluations of the network.
        method: One of `METHODS`.
        audio_guidance: Strength of the audio: 0 ignores it, 1 is the trained distribution, more follows it closer.
        style_guidance: Strength of head-motion style and emotion, in the same way.
        temperature: Scale of the noise: 0 gives one motion for all seeds, 1 the trained distribution.
        mean_guidance: Strength of the mean motion in the expression, see `expnet.models.flow_matching.mean_motion`; 0
            draws without it.
        lip_variation: Share of the drawn motion that the lips keep beside the mean, from 0 to 1.

    Raises:
        InputError: A value is out of range.
    """

    steps: int = 6
    method: Literal["euler", "midpoint"] = "euler"
    audio_guidance: float = 1.5
    style_guidance: float = 1.0
    temperature: float = 0.7
    mean_guidance: float = 0.85
    lip_variation: float = 0.3

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.steps < 1:
            raise InputError(f"A motion is drawn in 1 step or more, not in {self.steps}.")
        if self.method not in METHODS:
            raise InputError(f"The method of sampling must be one of {', '.join(METHODS)}, not {self.method!r}.")
        for name in ("audio_guidance", "style_guidance", "temperature", "mean_guidance", "lip_variation"):
            most = 1 if name == "lip_variation" else 10
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"{name} must be at least 0 and at most {most}, not {getattr(self, name)}.")

    def branches(self) -> list[tuple[bool, bool, float]]:
        """Return the evaluations of the network in a step: whether each sees audio and style, and its weight.

        ``v = v(0, 0) + s (v(0, style) - v(0, 0)) + a (v(audio, style) - v(0, style))`` with the two strengths, the
        nested guidance of InstructPix2Pix (arXiv 2211.09800). Evaluations of weight 0 are left out.
        """
        audio, style = self.audio_guidance, self.style_guidance
        every = [(True, True, audio), (False, True, style - audio), (False, False, 1 - style)]
        return [branch for branch in every if branch[2] != 0]


def integrate(velocity: Callable[[Tensor, float], Tensor], noise: Tensor, sampling: Sampling) -> Tensor:
    """Follow a velocity from time 0, noise, to time 1, motion, in equal steps.

    Args:
        velocity: Maps a state (B, T, M) and a time in [0, 1) to the velocity (B, T, M).
        noise: (B, T, M).
        sampling: Number and kind of the steps.

    Returns:
        (B, T, M).
    """
    state, step = noise, 1 / sampling.steps
    for number in range(sampling.steps):
        time = number * step
        slope = velocity(state, time)
        if sampling.method == "midpoint":
            slope = velocity(state + 0.5 * step * slope, time + 0.5 * step)
        state = state + step * slope
    return state
