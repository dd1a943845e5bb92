"""A mouth that opens with the loudness of the sound, and nothing else: the oldest lip sync there is.

``expression[t] = first + slope * (energy[t - delay] - energy[-delay]) * direction``, the energy in decibels. Slope and
delay are fitted on training clips; the direction is the expression that opens the mouth alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.face.measures import expression_for
from expnet.face.morphable import MorphableModel
from expnet.metrics.functional import mouth_opening

DELAYS = range(-3, 4)
"""Frames by which the mouth may come after the sound (negative: before it)."""
QUIETEST = -60.0
"""Decibels of full scale below which everything is silence."""
_STEP = 0.1  # opening at which the direction is taken, in eye distances


def frame_energy(samples: NDArray[np.float32]) -> Tensor:
    """Level under each video frame in decibels of full scale, (T,) float64, `QUIETEST` or above."""
    frames = torch.from_numpy(np.array(samples)).double().unfold(0, SAMPLES_PER_FRAME, SAMPLES_PER_FRAME)
    return (10 * torch.log10(frames.square().mean(-1).clamp_min(1e-12))).clamp_min(QUIETEST)


@dataclass(frozen=True, eq=False)
class LogEnergyJaw:
    """The fitted baseline, a row of the table.

    Attributes:
        direction: (E,) change of the expression for an opening of one eye distance.
        slope: opening for a decibel, eye distances.
        delay: frames from the sound to the mouth.
    """

    direction: Tensor
    slope: float
    delay: int
    name: str = "log_energy_jaw"
    title: str = "Log-energy jaw"
    kind: str = "trivial"
    description: str = "The mouth opens linearly with the sound's level in decibels."

    def predict(self, clip: Clip) -> Prediction:
        """Open the first frame's mouth as the sound says."""
        energy = _delayed(frame_energy(clip.track.audio), self.delay)
        opening = (self.slope * (energy - energy[0])).to(clip.expression)  # (T,)
        return Prediction(clip.expression[:1] + opening[:, None] * self.direction)


def fit_log_energy_jaw(clips: Iterable[Clip], face: MorphableModel) -> LogEnergyJaw:
    """Fit slope and delay by least squares on clips whose means are removed.

    Raises:
        ValueError: there is no clip to learn from.
    """
    products = torch.zeros(len(DELAYS), 2, dtype=torch.float64)  # energy x opening and energy x energy, by delay
    seen = False
    for clip in clips:
        identity = torch.as_tensor(clip.track.coefficients.identity).float()
        opening = mouth_opening(face.landmarks(identity, clip.expression))[clip.valid]
        energy = frame_energy(clip.track.audio)
        for place, delay in enumerate(DELAYS):
            heard = _delayed(energy, delay)[clip.valid]
            heard = heard - heard.mean()
            products[place] += torch.stack([(heard * (opening - opening.mean())).sum(), heard.square().sum()])
        seen = True
    if not seen:
        raise ValueError("a jaw that follows the sound's energy needs at least one training clip")
    slopes = products[:, 0] / products[:, 1].clamp_min(1e-12)
    best = int((slopes * products[:, 0]).argmax())  # what each delay explains
    direction = expression_for(face, {"mouth_opening": _STEP}) / _STEP
    return LogEnergyJaw(direction, float(slopes[best]), DELAYS[best])


def _delayed(values: Tensor, delay: int) -> Tensor:
    """Move a series (T,) by some frames, the ends repeated."""
    places = (torch.arange(len(values)) - delay).clamp(0, len(values) - 1)
    return values[places]
