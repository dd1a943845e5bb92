"""A small U-Net that paints what shows between the lips: teeth, tongue and the inside of the lower lip.

It sees the painted mouth, the portrait's own mouth, where each pixel came from and the shape of the opening, and
returns what to add to the painted mouth between the lips. It is trained with a discriminator (`PatchDiscriminator`),
because a pixel-wise loss alone rewards the average of what might show there, which is a grey blur.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from expnet.models.region_blocks import Block, upsample, zeroed

INPUTS = 10
"""Input channels, as for `expnet.models.refiner`: frame (3), portrait (3), shift (2), opening in either (2)."""
_OPENING = 8


class InnerMouthNetwork(nn.Module):
    """A U-Net from (B, 10, S, S) to (B, 6, S, S); untrained it returns 0.

    The first three channels, gains, are 0. The others are the residual, at most 1, for colours in [0, 1]. Around the
    opening the residual continues that of the nearest pixels inside, so that it can be interpolated up to the lips.

    Args:
        width: Channels at half the resolution.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        wide, wider, widest = width + width // 2, 2 * width, 3 * width
        self.enter = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * INPUTS, width, 3, padding=1))
        self.down = nn.ModuleList(
            [Block(width, wide, stride=2), Block(wide, wider, stride=2), Block(wider, widest, stride=2)]
        )
        self.middle = Block(widest, widest)
        self.up = nn.ModuleList([Block(widest + wider, wider), Block(wider + wide, wide), Block(wide + width, width)])
        self.leave = zeroed(nn.Conv2d(width, 4 * 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs in [-1, 1] (B, 10, S, S) to (B, 6, S, S)."""
        opening = 0.5 * (x[:, _OPENING : _OPENING + 1] + 1.0)
        h = nn.functional.leaky_relu(self.enter(x), 0.1)  # (B, W, S/2, S/2)
        skips = [h]
        for block in self.down:
            skips.append(block(skips[-1]))  # up to (B, 3W, S/16, S/16)
        h = self.middle(skips.pop())
        for block in self.up:
            h = block(torch.cat([upsample(h), skips.pop()], dim=1))  # up to (B, W, S/2, S/2)
        residual = torch.tanh(nn.functional.pixel_shuffle(self.leave(h), 2))  # (B, 3, S, S)
        return torch.cat([torch.zeros_like(residual), continued(residual, opening)], dim=1)


def continued(residual: Tensor, opening: Tensor) -> Tensor:
    """Replace a residual (B, 3, S, S) outside an opening (B, 1, S, S) by the mean of its neighbours inside, or 0."""
    around = nn.functional.avg_pool2d(residual * opening, 3, stride=1, padding=1)
    share = nn.functional.avg_pool2d(opening, 3, stride=1, padding=1)
    return opening * residual + (1.0 - opening) * around / (share + 1e-2)


class PatchDiscriminator(nn.Module):
    """Judges patches of a mouth: (B, C, S, S) to logits (B, 1, S/4, S/4), for training only.

    Args:
        entering: Channels of the judged image and of what it is conditioned on.
        width: Channels at half the resolution.
    """

    def __init__(self, entering: int, width: int = 32) -> None:
        super().__init__()
        sizes = ((entering, width, 4, 2), (width, 2 * width, 4, 2), (2 * width, 3 * width, 3, 1))
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, k, s, padding=1)) for a, b, k, s in sizes)
        self.logits = spectral_norm(nn.Conv2d(3 * width, 1, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and the features of each layer, for feature matching."""
        features = []
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.logits(x), features
