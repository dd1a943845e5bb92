"""A loss term: the error of the acceleration of the landmarks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from expnet.errors import ConfigError
from expnet.training.losses import masked_mean
from expnet.training.tasks.base_task import StepOutput


@dataclass(frozen=True)
class AccelerationOptions:
    """Options of `AccelerationLoss`.

    Attributes:
        scale: An acceleration in face units per squared frame whose error counts as 1.
    """

    scale: float = 0.01

    def __post_init__(self) -> None:
        """Check the range."""
        if self.scale <= 0:
            raise ConfigError(f"scale must be above 0, not {self.scale}.")


class AccelerationLoss(nn.Module):
    """Mean squared error of the second difference in time of the 68 landmarks."""

    def __init__(self, options: AccelerationOptions) -> None:
        super().__init__()
        self.scale = options.scale

    def forward(self, output: StepOutput) -> Tensor:
        """Return a scalar for landmarks (B, T, 68, 3); frames that are not valid do not count."""
        error = (output.landmarks - output.target_landmarks).diff(n=2, dim=1) / self.scale  # (B, T - 2, 68, 3)
        valid = output.valid[:, 2:] & output.valid[:, 1:-1] & output.valid[:, :-2]
        return masked_mean(error.square().mean(dim=(2, 3)), valid)
