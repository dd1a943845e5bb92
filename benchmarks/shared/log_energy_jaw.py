"""A baseline whose mouth opens with the loudness of the audio and does nothing else.

``expression[t] = first + slope * (energy[t - delay] - energy[-delay]) * direction``, with the energy in decibels. Slope
and delay are fitted on training clips; the direction is the expression that only opens the mouth.
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
"""Delays of the mouth after the audio in frames; negative if the mouth comes first."""
QUIETEST = -60.0
"""Level in decibels of full scale below which everything counts as silence."""
_STEP = 0.1  # opening, in eye distances, at which the direction is determined


def frame_energy(samples: NDArray[np.float32]) -> Tensor:
    """Level of the audio in each video frame, in decibels of full scale: (T,) float64, at least `QUIETEST`."""
    frames = torch.from_numpy(np.array(samples)).double().unfold(0, SAMPLES_PER_FRAME, SAMPLES_PER_FRAME)
    return (10 * torch.log10(frames.square().mean(-1).clamp_min(1e-12))).clamp_min(QUIETEST)


@dataclass(frozen=True, eq=False)
class LogEnergyJaw:
    """The fitted baseline.

    Attributes:
        direction: (E,) Change of the expression that opens the mouth by one eye distance.
        slope: Opening per decibel, in eye distances.
        delay: Delay from the audio to the mouth, in frames.
    """

    direction: Tensor
    slope: float
    delay: int
    name: str = "log_energy_jaw"
    title: str = "Log-energy jaw"
    kind: str = "trivial"
    description: str = "The mouth opens linearly with the level of the audio in decibels."

    def predict(self, clip: Clip) -> Prediction:
        """Open the first frame's mouth with the level of the audio."""
        energy = _delayed(frame_energy(clip.track.audio), self.delay)
        opening = (self.slope * (energy - energy[0])).to(clip.expression)  # (T,)
        return Prediction(clip.expression[:1] + opening[:, None] * self.direction)


def fit_log_energy_jaw(clips: Iterable[Clip], face: MorphableModel) -> LogEnergyJaw:
    """Fit slope and delay by least squares on clips with their means removed.

    Raises:
        ValueError: There are no training clips.
    """
    products = torch.zeros(len(DELAYS), 2, dtype=torch.float64)  # energy x opening and energy x energy, for each delay
    seen = False
    for clip in clips:
        identity = torch.as_tensor(clip.track.coefficients.identity).float()
        opening = mouth_opening(face.landmarks(identity, clip.expression))[clip.valid]
        energy = frame_energy(clip.track.audio)
        for place, delay in enumerate(DELAYS):
            level = _delayed(energy, delay)[clip.valid]
            level = level - level.mean()
            products[place] += torch.stack([(level * (opening - opening.mean())).sum(), level.square().sum()])
        seen = True
    if not seen:
        raise ValueError("the log-energy jaw needs at least one training clip")
    slopes = products[:, 0] / products[:, 1].clamp_min(1e-12)
    best = int((slopes * products[:, 0]).argmax())  # variance explained by each delay
    direction = expression_for(face, {"mouth_opening": _STEP}) / _STEP
    return LogEnergyJaw(direction, float(slopes[best]), DELAYS[best])


def _delayed(values: Tensor, delay: int) -> Tensor:
    """Delay a series (T,) by some frames; its ends are repeated."""
    places = (torch.arange(len(values)) - delay).clamp(0, len(values) - 1)
    return values[places]
