"""What a warped portrait lacks: a small U-Net over aligned pieces of the face says what to add to them.

It sees what the renderer drew, what the portrait shows there, where each pixel came from and what lies inside of the
lips and lids. It works at half the resolution of the piece and ends in a pixel shuffle, so that three pieces a frame
take milliseconds on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

CHANNELS = 10
"""Colours of the frame (3) and of the portrait (3), shift (2), inside of an opening in the frame (1), in the portrait
(1); see `expnet.render.refiner.region_refiner.RegionCrop`."""
FLIPPED_SHIFT = 6
"""The channel whose sign changes in a mirror: the shift to the side."""
OPENING_CHANNEL = 8
"""The channel of what lies inside of an opening in the frame."""
_TINT = 0.3
"""How far the gains of single colours may go apart, as a share of ``light``."""
_FADE = 0.12
"""Share of a side over which the residual fades to 0 at the border."""


class Refiner(nn.Module):
    """One `RegionNetwork` for each kind of region.

    Args:
        kinds: of `expnet.render.refiner.regions.REGIONS`.
        size: pixels of a region's side, a multiple of ``2 ** levels``.
        width: channels at half that resolution; each level down has as many more.
        levels: halvings of the resolution, 2 or more.
        light: largest logarithm of the gain. Without a bound the network makes of teeth and tongue the average of all
            that might show in their place: dark teeth and bright depths.
        residual: also add something at the region's own resolution.
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
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.options["kinds"] = list(kinds)
        self.kinds, self.size = tuple(kinds), size
        self.networks = nn.ModuleDict(
            {kind: RegionNetwork(width, levels, light=light, residual=residual) for kind in kinds}
        )
        self.register_buffer("window", fading_window(size), persistent=False)

    def forward(self, inputs: Tensor, kind: str) -> Tensor:
        """How to change regions of one kind.

        Args:
            inputs: (B, 10, S, S) uint8, see :data:`CHANNELS`.
            kind: of the regions.

        Returns:
            (B, 6, S, S), exactly 0 at the border: the logarithm of a gain of each colour, within 1.3 ``light``, and
            what is added then, within 1, colours being in [0, 1].
        """
        return self.networks[kind](inputs.float() / 127.5 - 1.0) * self.window


def change(colours: Tensor, changes: Tensor) -> Tensor:
    """Apply what a `Refiner` says, scaled by the gate, to colours (B, 3, S, S): ``colour exp(gain) + added``."""
    return colours * changes[:, :3].exp() + changes[:, 3:]


class RegionNetwork(nn.Module):
    """A U-Net from (B, 10, S, S) to (B, 6, S, S); it starts by saying 0.

    The gain is said at a quarter of the resolution and drawn out smoothly: a gain of so few pixels can change light and
    tone, but not smear teeth and lips to the average of what might be there, which is what a difference of pixels asks
    for where the portrait does not tell.

    Args:
        width: channels at half the resolution.
        levels: halvings of the resolution.
        light: largest logarithm of the gain.
        residual: see `Refiner`; else the last three channels are 0.
    """

    def __init__(self, width: int, levels: int, *, light: float, residual: bool) -> None:
        super().__init__()
        self.light = light
        widths = [width * level for level in range(1, levels + 1)]
        self.enter = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * CHANNELS, width, 3, padding=1))
        self.down = nn.ModuleList(Block(a, b, stride=2) for a, b in pairwise(widths))
        self.middle = Block(widths[-1], widths[-1])
        self.up = nn.ModuleList(Block(b + a, a) for a, b in pairwise(widths[1:]))
        self.gain = silent(nn.Conv2d(widths[1], 1 + 3, 3, padding=1))
        self.last = Block(widths[1] + width, width) if residual else None
        self.residual = silent(nn.Conv2d(width, 4 * 3, 3, padding=1)) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 10, S, S) to (B, 6, S, S)."""
        size = x.shape[-2:]
        x = nn.functional.leaky_relu(self.enter(x), 0.1)  # (B, W, S/2, S/2)
        kept = [x]
        for block in self.down:
            kept.append(block(kept[-1]))
        x = self.middle(kept.pop())
        for block in reversed(self.up):
            x = block(torch.cat([enlarged(x), kept.pop()], dim=1))  # up to (B, 2W, S/4, S/4)
        light, tint = torch.tanh(self.gain(x)).split((1, 3), dim=1)
        gain = self.light * nn.functional.interpolate(
            light + _TINT * tint, size=size, mode="bilinear", align_corners=False
        )
        if self.last is None or self.residual is None:
            return torch.cat([gain, torch.zeros_like(gain)], dim=1)
        x = self.last(torch.cat([enlarged(x), kept.pop()], dim=1))  # (B, W, S/2, S/2)
        return torch.cat([gain, nn.functional.pixel_shuffle(torch.tanh(self.residual(x)), 2)], dim=1)


def enlarged(x: Tensor) -> Tensor:
    """(B, C, H, W) at twice the resolution."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def silent(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, all zero: a network that ends in it starts by changing nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Block(nn.Module):
    """Two convolutions of (B, C, H, W), the first of which may halve the resolution."""

    def __init__(self, entering: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(entering, width, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, W, H / stride, W / stride)."""
        x = nn.functional.leaky_relu(self.first(x), 0.1)
        return nn.functional.leaky_relu(x + self.second(x), 0.1)


def fading_window(size: int) -> Tensor:
    """1 inside of a square, falling smoothly to exactly 0 at its outermost pixels: (S, S)."""
    nearest = torch.minimum(torch.arange(size), size - 1 - torch.arange(size)).float()
    share = (nearest / (_FADE * size)).clamp(0.0, 1.0)
    edge = share * share * (3.0 - 2.0 * share)
    return edge[:, None] * edge[None]
