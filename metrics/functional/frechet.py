r"""Frechet distance between two sets of features, from moments that add up.

.. math:: d = |\mu_1 - \mu_2|^2 + \operatorname{tr}(\Sigma_1) + \operatorname{tr}(\Sigma_2)
              - 2 \operatorname{tr} \sqrt{\Sigma_1 \Sigma_2}

Everything is float64: sums of outer products in float32 lose seven digits of the covariance.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of outer products of feature vectors: those of a union are the sum of those of its parts.

    Attributes:
        count: () int64.
        total: (F,) float64.
        scatter: (F, F) float64, not centred.
    """

    count: Tensor
    total: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Moments of features (N, F)."""
        if features.ndim != 2:
            raise ValueError(f"features must be (N, F), got {tuple(features.shape)}")
        features = features.double()
        count = torch.tensor(len(features), device=features.device)
        return cls(count, features.sum(0), features.T @ features)

    @classmethod
    def none(cls, features: int) -> Self:
        """Moments of nothing, the neutral element of ``+``."""
        return cls.of(torch.zeros(0, features, dtype=torch.float64))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.scatter + other.scatter)

    def to(self, device: torch.device | str) -> "Moments":
        """Copy to a device."""
        return Moments(self.count.to(device), self.total.to(device), self.scatter.to(device))

    @property
    def mean(self) -> Tensor:
        """(F,)."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """(F, F), divided by count - 1; NaN with fewer than two vectors."""
        centred = self.scatter - torch.outer(self.total, self.total) / self.count
        return centred / torch.where(self.count > 1, self.count - 1, torch.nan)

    def save(self, path: str | Path, *, protocol: Mapping[str, Any], data: str) -> None:
        """Write a safetensors file; a process that is killed leaves the old file or none.

        Args:
            path: to write.
            protocol: how the features were made: ``FrechetInceptionDistance.protocol``.
            data: which pictures they are of, a hash of the list of files or the like.
        """
        path = Path(path)
        partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
        tensors = {"count": self.count.reshape(1), "total": self.total, "scatter": self.scatter}
        header = {"protocol": _canonical(protocol), "data": data}
        try:
            save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, partial, metadata=header)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | Path, *, protocol: Mapping[str, Any], data: str) -> Self:
        """Read what ``save`` wrote for the same protocol and data.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is of another protocol or of other data: numbers would not compare.
        """
        with safe_open(path, framework="pt") as stored:
            header = stored.metadata() or {}
            for key, expected in (("protocol", _canonical(protocol)), ("data", data)):
                if header.get(key) != expected:
                    raise ValueError(f"{path} holds moments of {key} {header.get(key)}, expected {expected}; remove it")
            return cls(stored.get_tensor("count")[0], stored.get_tensor("total"), stored.get_tensor("scatter"))


def frechet_distance(first: Moments, second: Moments) -> Tensor:
    r"""Frechet distance of the two Gaussians with these moments.

    The trace of the root is the sum of the roots of the eigenvalues of the symmetric
    :math:`\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2}`: no complex numbers and no failure on rank-deficient covariances,
    which every set of fewer pictures than features has. Only the range of :math:`\Sigma_1` is looked at, so a small
    first set costs little.

    Args:
        first: moments of one set.
        second: of the other; the distance is symmetric.

    Returns:
        () float64, at least 0; NaN when a set has fewer than two vectors.
    """
    if first.total.shape != second.total.shape:
        raise ValueError(f"moments are of {len(first.total)} and {len(second.total)} features")
    if min(int(first.count), int(second.count)) < 2:
        return torch.full((), torch.nan, dtype=torch.float64, device=first.total.device)
    if first.count > second.count:
        first, second = second, first
    covariance, other = first.covariance, second.covariance
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    # What rounding leaves below this is not variance (the tolerance of matrix_rank).
    kept = eigenvalues > eigenvalues[-1] * len(eigenvalues) * torch.finfo(torch.float64).eps
    half = vectors[:, kept] * eigenvalues[kept].sqrt()  # (F, R): covariance = half @ half.T
    product = torch.linalg.eigvalsh(half.T @ other @ half)  # (R,)
    root = product.clamp(min=0).sqrt().sum()
    distance = (first.mean - second.mean).square().sum() + covariance.trace() + other.trace() - 2 * root
    return distance.clamp(min=0)  # rounding: identical sets are not -1e-13 apart


def _canonical(protocol: Mapping[str, Any]) -> str:
    """One text for one protocol."""
    return json.dumps(dict(protocol), sort_keys=True)
