"""How somebody moves the head, in twelve numbers that can be measured in any clip of a second or more.

A style is the root mean square distance that each of the six numbers of a pose travels within 0.16 s and within 0.64 s.
People differ tenfold in these and much less in the rest, so a network that works in a style's own units sees one kind
of head motion instead of eighty; and as styles are measured, not learned, they hold for people it has never seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expnet.errors import InputError
from expnet.models.pose_motion import POSE

LAGS = (4, 16)
"""Frames over which distances are taken: nods, and turns."""
STYLE = len(LAGS) * POSE
QUIETEST = 0.02
"""Least distance, in standard deviations of all poses: what the trembling of a tracker comes to."""
PAIRS = 8
"""Pairs of frames at the longest lag that a stretch must have for a style to be measured in it."""
MEMORY = 0.02
"""Share of a new window in a speaker's style, once the speaker has been seen often."""


def distances(scaled: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Measure a style.

    Args:
        scaled: (B, T, 6) poses in standard deviations of the training poses.
        valid: (B, T) bool.

    Returns:
        (B, 12) root mean square distances over `LAGS`, `QUIETEST` or more, and (B,) bool: whether there were enough
        frames to measure them.
    """
    found = []
    counts = scaled.new_zeros(len(scaled))
    for lag in LAGS:
        both = (valid[:, lag:] & valid[:, :-lag]).to(scaled.dtype)[..., None]  # (B, T - lag, 1)
        counts = both.sum(dim=(1, 2))
        square = ((scaled[:, lag:] - scaled[:, :-lag]).square() * both).sum(dim=1) / counts.clamp_min(1)[:, None]
        found.append(square.clamp_min(QUIETEST**2).sqrt())
    return torch.cat(found, dim=-1), counts >= PAIRS


class PoseStyles(nn.Module):
    """The styles of the training speakers, gathered while training; nothing here is trained.

    Args:
        count: number of styles; 0 is "unknown" and means the average of the others.
    """

    bank: Tensor
    windows: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("bank", torch.ones(count, STYLE))
        self.register_buffer("windows", torch.zeros(count))

    @torch.no_grad()
    def remember(self, style: Tensor, measured: Tensor) -> None:
        """Add windows (B, 12) of the speakers style (B,) to what is known of them."""
        for index, value in zip(style.tolist(), measured, strict=True):
            self.windows[index] += 1
            self.bank[index].lerp_(value.to(self.bank), max(1 / float(self.windows[index]), MEMORY))

    def forward(self, style: Tensor) -> Tensor:
        """Look up indices (B,), or pass styles (B, 12) through: (B, 12). A speaker never heard of is the average."""
        if style.is_floating_point():
            return style
        known = (self.windows > 0).to(self.bank)[:, None]  # (S, 1)
        named = known * (torch.arange(len(known), device=known.device) > 0)[:, None]
        # Where no window had a speaker's name, the average is over those without one.
        counted = torch.where(named.sum() > 0, named, known)
        average = (self.bank * counted).sum(dim=0) / counted.sum().clamp_min(1)
        average = torch.where(counted.sum() > 0, average, torch.ones_like(average))
        own = (style > 0)[:, None] * known[style]  # (B, 1)
        return own * self.bank[style] + (1 - own) * average

    def measure(self, pose: Tensor, valid: Tensor, pose_std: Tensor) -> Tensor:
        """Return the style (1, 12) of a clip's poses (T, 6), radians and face units; valid (T,) bool.

        Raises:
            InputError: the clip is too short.
        """
        measured, enough = distances((pose / pose_std)[None], valid[None])
        if not bool(enough):
            raise InputError(
                f"A head-motion style needs {LAGS[-1] + PAIRS} frames in which the face is seen (about a second), "
                f"but the clip has {int(valid.sum())} of {len(valid)}."
            )
        return measured
