"""Adversarial training of a mouth network on pairs (`learned_mouth.pairs`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, relu

from expnet.models.inner_mouth import PatchDiscriminator
from expnet.models.refiner import OPENING_CHANNEL, Refiner
from expnet.render.refiner.datamodule import change_colours, mirror
from learned_mouth.pairs import KIND, MouthPairs

BATCH = 16
WARM_UP = 400
"""Steps without discriminator."""
_RATE, _BETAS = 4e-4, (0.5, 0.99)
_COLOUR, _GREY, _SHIFT = 0.12, 0.15, (3, 2)
"""Strength of the colour augmentation, share of grey images, and largest shift in pixels."""
_PIXEL, _COARSE, _FOOL, _MATCH = 0.5, 1.0, 0.06, 1.0
"""Weights of the losses: each pixel, means over 4 and 8 pixels, deceiving the discriminator, matching its features."""
_AVERAGE = 0.003
"""Share of the new weights in their moving average."""


class MouthTraining:
    """One training of a mouth network on one core.

    Args:
        clips: Pairs of each clip; every clip is drawn equally often, and open mouths more often than closed ones.
        width: Channels of the network.
        seed: Seed of weights and draws.
    """

    def __init__(self, clips: Sequence[MouthPairs], *, width: int = 32, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self._clips, self._random = clips, np.random.default_rng(seed)
        options = {"kinds": [KIND], "size": clips[0].inputs.shape[-1], "width": width, "inside": True}
        self.model, self.averaged = Refiner(**options), Refiner(**options)
        self.averaged.load_state_dict(self.model.state_dict())
        self._discriminator = PatchDiscriminator(3 + 1 + 3)
        self._optimisers = [
            torch.optim.Adam(network.parameters(), _RATE, _BETAS) for network in (self.model, self._discriminator)
        ]
        self.steps = 0

    def step(self) -> dict[str, float]:
        """Train on one batch; returns the losses."""
        inputs, targets = self._batch()
        made, real, opening = compose(self.model, inputs, targets)
        area = opening.sum() + 1.0
        wrong = opening * (made - real)
        terms = {"pixel": _PIXEL * wrong.abs().sum() / (3 * area)}
        terms["coarse"] = _COARSE * sum(avg_pool2d(wrong, k).abs().sum() * k * k for k in (4, 8)) / (3 * area)
        if self.steps >= WARM_UP:
            condition = torch.cat([opening, inputs[:, 3:6].float() / 255.0], dim=1)
            terms |= self._deceive(made, real, condition, avg_pool2d(opening, 4).gt(0.05).float())
        loss = torch.stack(list(terms.values())).sum()
        self._optimisers[0].zero_grad()
        loss.backward()
        self._optimisers[0].step()
        with torch.no_grad():
            share = _AVERAGE if self.steps > WARM_UP else 0.02
            for mean, value in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(value, share)
        self.steps += 1
        return {name: float(value.detach()) for name, value in terms.items()}

    def _deceive(self, made: Tensor, real: Tensor, condition: Tensor, patches: Tensor) -> dict[str, Tensor]:
        """Train the discriminator on the batch, and return the losses that it gives the network."""
        discriminator, count = self._discriminator, patches.sum() + 1.0
        discriminator.requires_grad_(True)
        on_real, _ = discriminator(torch.cat([real, condition], dim=1))
        on_made, _ = discriminator(torch.cat([made.detach(), condition], dim=1))
        self._optimisers[1].zero_grad()
        (((relu(1.0 - on_real) + relu(1.0 + on_made)) * patches).sum() / count).backward()
        self._optimisers[1].step()
        discriminator.requires_grad_(False)
        on_made, features = discriminator(torch.cat([made, condition], dim=1))
        with torch.no_grad():
            _, wanted = discriminator(torch.cat([real, condition], dim=1))
        unlike = sum((one - other).abs().mean() for one, other in zip(features, wanted, strict=True))
        share = condition[:, :1].mean().clamp(min=0.01)
        return {
            "fool": -_FOOL * (on_made * patches).sum() / count,
            "match": 0.1 * _MATCH * unlike / share,
        }

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Random pairs with random light, side and place."""
        inputs, targets = [], []
        for _ in range(BATCH):
            clip = self._clips[self._random.integers(len(self._clips))]
            weights = clip.heights + 1.5
            pair = self._random.choice(len(weights), p=weights / weights.sum())
            given, real = clip.inputs[pair : pair + 1].copy(), clip.targets[pair : pair + 1].copy()
            change_colours(given, real, _COLOUR, self._random)
            one, other = given[0], real[0]
            if self._random.random() < _GREY:
                for image in (one[:3], one[3:6], other):
                    image[:] = image.mean(axis=0, keepdims=True).astype(np.uint8)
            if self._random.random() < 0.5:
                one, other = mirror(one), other[..., ::-1]
            shift = tuple(int(self._random.integers(-most, most + 1)) for most in _SHIFT)
            inputs.append(np.roll(one, shift, (1, 2)))
            targets.append(np.roll(other, shift, (1, 2)))
        return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets)).float() / 255.0


def compose(model: Refiner, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The painted mouth with the network's and with the real inside (B, 3, S, S), and the opening (B, 1, S, S)."""
    drawn = inputs[:, :3].float() / 255.0
    opening = inputs[:, OPENING_CHANNEL : OPENING_CHANNEL + 1].float() / 255.0
    made = (drawn + opening * model(inputs, KIND)[:, 3:]).clamp(0.0, 1.0)
    return made, drawn + opening * (targets - drawn), opening
