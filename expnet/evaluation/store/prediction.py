"""What a system of the table is, and what it predicts for a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from expnet.coefficients import split_pose
from expnet.evaluation.store.clips import Clip


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a system predicts for one clip.

    Attributes:
        expression: (T, 64) expression coefficients.
        pose: (T, 6) absolute head pose; None for a system without head motion.
        pose_samples: (N, T, 3) rotations drawn for the same audio with different seeds; None if only one was drawn.
        expression_samples: (N, T, 64) expressions drawn likewise, the first one being ``expression``; None for a system
            that regresses the expression.
    """

    expression: Tensor
    pose: Tensor | None = None
    pose_samples: Tensor | None = None
    expression_samples: Tensor | None = None

    @property
    def expressions(self) -> Tensor:
        """Every expression that was drawn, (N, T, 64); N = 1 for a system that regresses."""
        return self.expression[None] if self.expression_samples is None else self.expression_samples

    @property
    def rotations(self) -> Tensor | None:
        """Every head rotation that was drawn, (N, T, 3); None for a system without head motion."""
        if self.pose_samples is not None:
            return self.pose_samples
        return None if self.pose is None else split_pose(self.pose)[0][None]


class System(Protocol):
    """A system that is compared: one row of the table."""

    name: str
    title: str
    kind: str
    description: str

    def predict(self, clip: Clip) -> Prediction:
        """Predict a clip. Only oracles may use the true coefficients in ``clip`` beyond the first frame."""
        ...
