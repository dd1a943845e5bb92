"""Precision, recall, density and coverage of generated vectors, by nearest neighbours among the real ones.

The ball of a vector reaches to its k-th nearest neighbour in its own set. Sources: Kynkaanniemi et al., "Improved
precision and recall metric for assessing generative models", NeurIPS 2019 (precision, recall); Naeem et al., "Reliable
fidelity and diversity metrics for generative models", ICML 2020 (density, coverage; reference implementation
https://github.com/clovaai/generative-evaluation-prdc).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBOURS = 5
"""Neighbour that bounds the ball of a vector, as in the examples of Naeem et al."""


@dataclass(frozen=True)
class NeighbourScores:
    """How a generated set lies in a real one; () float64 each, NaN if a set has no more than k vectors.

    Attributes:
        precision: Share of the generated vectors that lie in the ball of a real one, in [0, 1].
        recall: Share of the real vectors that lie in the ball of a generated one, in [0, 1].
        density: Mean number of real balls around a generated vector, divided by k; about 1 for equal distributions,
            above 1 where the generated vectors keep to the middle of the real ones.
        coverage: Share of the real vectors with a generated one in their ball, in [0, 1]; a set that repeats itself
            covers little. For equal distributions and equal sizes, about 1 - 2^-k.
    """

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def neighbour_scores(real: Tensor, generated: Tensor, *, neighbours: int = NEIGHBOURS) -> NeighbourScores:
    """Compare two sets of vectors by Euclidean nearest neighbours; the definitions are those of `NeighbourScores`.

    Args:
        real: Real vectors, (N, F), in comparable units, such as those of ``standardised``.
        generated: Generated vectors, (M, F).
        neighbours: k, the neighbour that bounds a ball.

    Raises:
        ValueError: The sets are no matrices with equally many columns.

    Example:
        >>> real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
        >>> scores = neighbour_scores(real, torch.tensor([[0.5], [1.5]]), neighbours=1)
        >>> float(scores.precision), float(scores.coverage)  # the balls have radii 1, 1, 1 and 8; the last one is empty
        (1.0, 0.75)
    """
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(f"both sets must be (N, F), got {tuple(real.shape)} and {tuple(generated.shape)}")
    real, generated = real.double(), generated.double()
    if min(len(real), len(generated)) <= neighbours:
        nan = torch.full((), torch.nan, dtype=torch.float64, device=real.device)
        return NeighbourScores(nan, nan, nan, nan)
    between = _distances(real, generated)  # (N, M)
    in_real = between <= _radii(real, neighbours).unsqueeze(1)
    in_generated = between <= _radii(generated, neighbours).unsqueeze(0)
    return NeighbourScores(
        precision=in_real.any(0).double().mean(),
        recall=in_generated.any(1).double().mean(),
        density=in_real.double().sum(0).mean() / neighbours,
        coverage=in_real.any(1).double().mean(),
    )


def standardised(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Divide each feature of both sets by the real standard deviation; features in which real is constant become 0.

    Args:
        real: Real vectors, (N, F).
        generated: Generated vectors, (M, F).
    """
    deviation = real.double().std(0) if len(real) > 1 else torch.ones_like(real.double().sum(0))
    scale = torch.where(deviation > 0, 1.0 / deviation, torch.zeros_like(deviation))
    return real.double() * scale, generated.double() * scale


def _radii(vectors: Tensor, neighbours: int) -> Tensor:
    """Return the distance from each vector to its k-th nearest neighbour in the same set, itself not counted, (N,)."""
    return _distances(vectors, vectors).kthvalue(neighbours + 1, dim=1).values


def _distances(first: Tensor, second: Tensor) -> Tensor:
    """Return all Euclidean distances, (N, M), without the cancellation of the expanded square."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
