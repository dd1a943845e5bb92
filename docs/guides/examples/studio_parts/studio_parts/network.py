"""An expression network: the package's own layers on the inputs and statistics of expnet's network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from expnet.config import ExpressionModelConfig
from expnet.models.expression_regressor import ExpressionRegressor


@dataclass
class GatedOptions(ExpressionModelConfig):
    """Every key of ``model`` in the configuration, and one of its own.

    Attributes:
        gates: Whether each coefficient is scaled by a gate that all of them compute.
    """

    gates: bool = True


class GatedRegressor(ExpressionRegressor):
    """The network of expnet, whose output a gate scales by up to 2; all else is inherited.

    Args:
        options: The configured sizes.
        expression_size: E, number of coefficients.
        **data: emotions, speech_features and face_model, which follow from the clips, too.
    """

    def __init__(self, options: GatedOptions, *, expression_size: int, **data: Any) -> None:
        super().__init__(options, network_options={}, expression_size=expression_size, **data)
        self.gate = nn.Linear(expression_size, expression_size) if options.gates else None

    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        """Return the expression (B, T, E) of the inherited network times its gates."""
        expression = super().forward(*inputs, **options)
        return expression if self.gate is None else 2 * expression * self.gate(expression).sigmoid()
