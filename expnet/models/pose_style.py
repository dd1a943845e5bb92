"""Head-motion style: twelve numbers that can be measured in any clip of a second or more.

A style is the root mean square distance that each of the six components of a pose travels within 0.16 s and within
0.64 s. People differ tenfold in these and much less otherwise, so a network that works in units of the style sees one
kind of head motion instead of eighty. Styles are measured, not learned, so they are valid for unseen people too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expnet.errors import InputError
from expnet.models.pose_motion import POSE

LAGS = (4, 16)
"""Lags in frames at which distances are measured: nods, and turns."""
STYLE = len(LAGS) * POSE
QUIETEST = 0.02
"""Least distance, in standard deviations of all poses: about the noise of a tracker."""
PAIRS = 8
"""Pairs of valid frames at the longest lag that a measurement needs."""
MEMORY = 0.02
"""Weight of a new window in a speaker's style, once the speaker has been seen often."""


def distances(scaled: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Measure a style.

    Args:
        scaled: (B, T, 6) poses in standard deviations of the training poses.
        valid: (B, T) bool.

    Returns:
        (B, 12) root mean square distances over `LAGS`, at least `QUIETEST`; and (B,) bool, whether there were enough
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
    """The styles of the training speakers, collected during training; it has no trainable parameters.

    Args:
        count: Number of styles; style 0 is "unknown" and stands for the average of the others.
    """

    bank: Tensor
    windows: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("bank", torch.ones(count, STYLE))
        self.register_buffer("windows", torch.zeros(count))

    @torch.no_grad()
    def remember(self, style: Tensor, measured: Tensor) -> None:
        """Update the styles of speakers ``style`` (B,) with windows measured (B, 12)."""
        for index, value in zip(style.tolist(), measured, strict=True):
            self.windows[index] += 1
            self.bank[index].lerp_(value.to(self.bank), max(1 / float(self.windows[index]), MEMORY))

    def forward(self, style: Tensor) -> Tensor:
        """Return the styles (B, 12) of indices (B,), or styles (B, 12) unchanged; unseen speakers get the average."""
        if style.is_floating_point():
            return style
        known = (self.windows > 0).to(self.bank)[:, None]  # (S, 1)
        named = known * (torch.arange(len(known), device=known.device) > 0)[:, None]
        # If no window had a named speaker, the average is over the unnamed ones.
        counted = torch.where(named.sum() > 0, named, known)
        average = (self.bank * counted).sum(dim=0) / counted.sum().clamp_min(1)
        average = torch.where(counted.sum() > 0, average, torch.ones_like(average))
        own = (style > 0)[:, None] * known[style]  # (B, 1)
        return own * self.bank[style] + (1 - own) * average

    def measure(self, pose: Tensor, valid: Tensor, pose_std: Tensor) -> Tensor:
        """Return the style (1, 12) of a clip's poses (T, 6) in radians and face units; valid (T,) bool.

        Raises:
            InputError: The clip is too short.
        """
        measured, enough = distances((pose / pose_std)[None], valid[None])
        if not bool(enough):
            raise InputError(
                f"A head-motion style needs {LAGS[-1] + PAIRS} frames with a visible face (about a second), "
                f"but the clip has {int(valid.sum())} of {len(valid)}."
            )
        return measured
