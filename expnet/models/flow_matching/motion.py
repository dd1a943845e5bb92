"""Expression, head motion and lids of some frames, and what they are drawn for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Motion:
    """The motion of a face; what a network does not draw is None.

    Attributes:
        expression: (B, T, E) coefficients.
        pose: (B, T, 6) head pose relative to the first frame, in radians and face units.
        lids: (B, T) closure of the eyelids, from 0 (open) to 1 (closed).
    """

    expression: Tensor | None = None
    pose: Tensor | None = None
    lids: Tensor | None = None

    @property
    def frames(self) -> int:
        """Number of frames T; 0 where nothing is drawn."""
        return next((part.shape[1] for part in (self.expression, self.pose, self.lids) if part is not None), 0)

    def between(self, first: int, last: int) -> Motion:
        """Return the frames from ``first`` to before ``last``; negative numbers count from the end."""
        parts = (self.expression, self.pose, self.lids)
        return Motion(*(None if part is None else part[:, first:last] for part in parts))


def join(pieces: Sequence[Motion]) -> Motion:
    """Join pieces that follow each other."""
    columns = zip(*((piece.expression, piece.pose, piece.lids) for piece in pieces), strict=True)
    return Motion(*(None if parts[0] is None else torch.cat(parts, dim=1) for parts in columns))


@dataclass(frozen=True, eq=False)
class Reference:
    """What a window is drawn for besides its speech.

    Attributes:
        first_expression: (B, E) expression of the first frame, to which the change is added.
        style: (B, 12) head-motion styles.
        anchor: (B, 6) pose from which the head moves on, relative to the first frame.
        emotion: (B,) emotion labels, 0 for unknown.
    """

    first_expression: Tensor
    style: Tensor
    anchor: Tensor
    emotion: Tensor
