"""The Frechet distance that infinitely many vectors would have, extrapolated from subsets.

The distance of two finite sets is too large by about c / n. Chong and Forsyth, "Effectively unbiased FID and Inception
score and where to find them", CVPR 2020 (https://arxiv.org/abs/1911.07023) fit a line in 1 / n to subsets and read it
at 0. The line holds for n well above the number of features; below, the extrapolated value is still too large.

Subsets are unions of eight folds, and the content of a vector decides its fold. So the moments of the folds are all
that has to be kept, and the value does not depend on the order of the vectors or on how processes share them.
"""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from expnet.metrics.functional.frechet import Moments, frechet_distance

FOLDS = 8
_STARTS = (0, 2, 4, 6)
"""Where the unions of each size below all begin; folds go round."""


def fold_moments(vectors: Tensor) -> list[Moments]:
    """Return the moments of the eight folds of vectors (N, F)."""
    content = vectors.detach().cpu().float().contiguous().numpy()
    folds = torch.tensor([zlib.crc32(row.tobytes()) % FOLDS for row in content], dtype=torch.long)
    return [Moments.of(vectors[(folds == fold).to(vectors.device)]) for fold in range(FOLDS)]


def extrapolated_frechet_distance(first: Sequence[Moments], second: Sequence[Moments]) -> Tensor:
    """Return the Frechet distance extrapolated to infinitely many vectors.

    Unions of 4, 5, 6, 7 and all 8 folds are compared, and a line in the mean of both sides' 1 / n is fitted to their
    distances by least squares.

    Args:
        first: Moments of the folds of one set, `fold_moments`.
        second: Those of the other.

    Returns:
        () float64, at least 0, in squared units of the features; NaN if a union has fewer than two vectors.

    Example:
        >>> same = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> sides = fold_moments(same[:2000]), fold_moments(same[2000:] + 1)
        >>> round(float(extrapolated_frechet_distance(*sides)), 1)
        2.0
    """
    places, values = [], []
    for size in range(FOLDS // 2, FOLDS + 1):
        for start in _STARTS if size < FOLDS else (0,):
            chosen = [(start + step) % FOLDS for step in range(size)]
            sides = [_union([side[fold] for fold in chosen]) for side in (first, second)]
            places.append(sum(0.5 / int(side.count) if side.count else torch.nan for side in sides))
            values.append(frechet_distance(*sides))
    distances = torch.stack(values)
    inverse = torch.tensor(places, dtype=torch.float64, device=distances.device)
    centred = inverse - inverse.mean()
    slope = (centred * distances).sum() / centred.square().sum()
    return (distances.mean() - slope * inverse.mean()).clamp(min=0)


def _union(parts: Sequence[Moments]) -> Moments:
    return sum(parts[1:], start=parts[0])
