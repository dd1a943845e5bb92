"""Adversarial losses of images: what a discriminator says of generated and of real ones, and its features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from expnet.models.patch_discriminator import Judgement

Kind = Literal["hinge", "least_squares"]


def generator_loss(fake: Sequence[Judgement], kind: Kind) -> Tensor:
    """Return the generator's loss, averaged over patches and summed over scales.

    ``hinge``: ``-mean D(fake)``. ``least_squares``: ``mean (D(fake) - 1)^2``.
    """
    scores = [judged.scores.float() for judged in fake]
    terms = [-score.mean() if kind == "hinge" else (score - 1).square().mean() for score in scores]
    return torch.stack(terms).sum()


def discriminator_loss(real: Sequence[Judgement], fake: Sequence[Judgement], kind: Kind) -> Tensor:
    """Return the discriminator's loss, averaged over patches and summed over scales.

    ``hinge``: ``mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))``. ``least_squares``:
    ``mean (D(real) - 1)^2 + mean D(fake)^2``.
    """
    total: list[Tensor] = []
    for on_real, on_fake in zip(real, fake, strict=True):
        good, bad = on_real.scores.float(), on_fake.scores.float()
        if kind == "hinge":
            total.append(F.relu(1 - good).mean() + F.relu(1 + bad).mean())
        else:
            total.append((good - 1).square().mean() + bad.square().mean())
    return torch.stack(total).sum()


def feature_matching_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """Return the mean absolute difference of the discriminator's features, summed over layers and scales.

    The features of the real images count as constants. Source: Wang et al., pix2pixHD (CVPR 2018).
    """
    terms = [
        (first.detach().float() - second.float()).abs().mean()
        for on_real, on_fake in zip(real, fake, strict=True)
        for first, second in zip(on_real.features, on_fake.features, strict=True)
    ]
    return torch.stack(terms).sum()
