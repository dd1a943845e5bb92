"""A small U-Net that corrects aligned regions of a rendered face.

It reads the rendered region, the same region of the portrait, where each pixel came from, and what lies inside of lips
and eyelids. It works at half the resolution of the region and ends in a pixel shuffle, so that three regions per frame
take milliseconds on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from expnet.models.inner_mouth import InnerMouthNetwork
from expnet.models.region_blocks import Block, upsample, zeroed

CHANNELS = 10
"""Input channels: colours of the frame (3) and of the portrait (3), shift (2), and masks of the mouth or eye opening in
the frame (1) and in the portrait (1); see `expnet.render.refiner.region_refiner.RegionCrop`."""
FLIPPED_SHIFT = 6
"""The channel whose sign changes under mirroring: the horizontal shift."""
OPENING_CHANNEL = 8
"""The channel with the mask of the opening in the frame."""
_TINT = 0.3
"""Largest deviation of the gain of a single colour, as a fraction of ``light``."""
_FADE = 0.12
"""Fraction of a side over which the correction fades to 0 at the border."""


class Refiner(nn.Module):
    """One `RegionNetwork` for each kind of region.

    Args:
        kinds: Names of `expnet.render.refiner.regions.REGIONS`.
        size: Side of a region in pixels, a multiple of ``2 ** levels``.
        width: Channels at half that resolution; each level down adds as many.
        levels: Number of halvings of the resolution, at least 2.
        light: Largest logarithm of the gain. Without a bound the network replaces teeth and tongue by the average of
            what might be visible there: dark teeth and a bright mouth interior.
        residual: Whether to add a residual at the resolution of the region, too.
        inside: Whether the networks are `expnet.models.inner_mouth.InnerMouthNetwork`, which paint between the lips;
            levels, light and residual are then not used.
    """

    task = "refiner"
    window: Tensor

    def __init__(
        self,
        *,
        kinds: Sequence[str] = ("mouth",),
        size: int = 96,
        width: int = 16,
        levels: int = 3,
        light: float = 0.35,
        residual: bool = False,
        inside: bool = False,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.options["kinds"] = list(kinds)
        if not inside:
            del self.options["inside"]  # files of before have no such option
        self.kinds, self.size = tuple(kinds), size
        self.networks = nn.ModuleDict(
            {
                kind: InnerMouthNetwork(width)
                if inside
                else RegionNetwork(width, levels, light=light, residual=residual)
                for kind in kinds
            }
        )
        self.register_buffer("window", fading_window(size), persistent=False)

    def forward(self, inputs: Tensor, kind: str) -> Tensor:
        """Return the correction of regions of one kind.

        Args:
            inputs: (B, 10, S, S) uint8, see `CHANNELS`.
            kind: Kind of the regions.

        Returns:
            (B, 6, S, S), exactly 0 at the border: the logarithm of the gain of each colour, at most 1.3 ``light``, and
            the residual to add, at most 1, for colours in [0, 1].
        """
        return self.networks[kind](inputs.float() / 127.5 - 1.0) * self.window


def change(colours: Tensor, changes: Tensor) -> Tensor:
    """Apply the gated correction of a `Refiner` to colours (B, 3, S, S): ``colour exp(gain) + residual``."""
    return colours * changes[:, :3].exp() + changes[:, 3:]


class RegionNetwork(nn.Module):
    """A U-Net from (B, 10, S, S) to (B, 6, S, S); untrained it returns 0.

    The gain is predicted at a quarter of the resolution and upsampled smoothly. At so few pixels it can change light
    and tone, but cannot blur teeth and lips towards the average of what might be there, which is what a pixel-wise loss
    rewards where the portrait does not determine the answer.

    Args:
        width: Channels at half the resolution.
        levels: Number of halvings of the resolution.
        light: Largest logarithm of the gain.
        residual: See `Refiner`; without it the last three channels are 0.
    """

    def __init__(self, width: int, levels: int, *, light: float, residual: bool) -> None:
        super().__init__()
        self.light = light
        widths = [width * level for level in range(1, levels + 1)]
        self.enter = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * CHANNELS, width, 3, padding=1))
        self.down = nn.ModuleList(Block(a, b, stride=2) for a, b in pairwise(widths))
        self.middle = Block(widths[-1], widths[-1])
        self.up = nn.ModuleList(Block(b + a, a) for a, b in pairwise(widths[1:]))
        self.gain = zeroed(nn.Conv2d(widths[1], 1 + 3, 3, padding=1))
        self.last = Block(widths[1] + width, width) if residual else None
        self.residual = zeroed(nn.Conv2d(width, 4 * 3, 3, padding=1)) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 10, S, S) to (B, 6, S, S)."""
        size = x.shape[-2:]
        x = nn.functional.leaky_relu(self.enter(x), 0.1)  # (B, W, S/2, S/2)
        skips = [x]
        for block in self.down:
            skips.append(block(skips[-1]))
        x = self.middle(skips.pop())
        for block in reversed(self.up):
            x = block(torch.cat([upsample(x), skips.pop()], dim=1))  # up to (B, 2W, S/4, S/4)
        light, tint = torch.tanh(self.gain(x)).split((1, 3), dim=1)
        gain = self.light * nn.functional.interpolate(
            light + _TINT * tint, size=size, mode="bilinear", align_corners=False
        )
        if self.last is None or self.residual is None:
            return torch.cat([gain, torch.zeros_like(gain)], dim=1)
        x = self.last(torch.cat([upsample(x), skips.pop()], dim=1))  # (B, W, S/2, S/2)
        return torch.cat([gain, nn.functional.pixel_shuffle(torch.tanh(self.residual(x)), 2)], dim=1)


def fading_window(size: int) -> Tensor:
    """Return a window (S, S) that is 1 inside and falls smoothly to exactly 0 at the outermost pixels."""
    nearest = torch.minimum(torch.arange(size), size - 1 - torch.arange(size)).float()
    position = (nearest / (_FADE * size)).clamp(0.0, 1.0)
    edge = position * position * (3.0 - 2.0 * position)
    return edge[:, None] * edge[None]
