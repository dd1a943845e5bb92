r"""Frechet distance between two sets of features, computed from additive moments.

.. math:: d = |\mu_1 - \mu_2|^2 + \operatorname{tr}(\Sigma_1) + \operatorname{tr}(\Sigma_2)
              - 2 \operatorname{tr} \sqrt{\Sigma_1 \Sigma_2}

All computations are in float64, since sums of outer products in float32 lose the covariance to cancellation.
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
    """Count, sum and sum of outer products of feature vectors. The moments of a union are the sums of the moments.

    Attributes:
        count: Number of vectors, () int64.
        total: Sum of the vectors, (F,) float64.
        scatter: Sum of the outer products, not centred, (F, F) float64.
    """

    count: Tensor
    total: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Return the moments of features (N, F)."""
        if features.ndim != 2:
            raise ValueError(f"features must be (N, F), got {tuple(features.shape)}")
        features = features.double()
        count = torch.tensor(len(features), device=features.device)
        return cls(count, features.sum(0), features.T @ features)

    @classmethod
    def none(cls, features: int) -> Self:
        """Return the moments of an empty set, the neutral element of ``+``."""
        return cls.of(torch.zeros(0, features, dtype=torch.float64))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.scatter + other.scatter)

    def __sub__(self, other: "Moments") -> "Moments":
        """Take vectors out of a set, which must contain them."""
        return Moments(self.count - other.count, self.total - other.total, self.scatter - other.scatter)

    def scaled(self, scale: Tensor) -> "Moments":
        """Return the moments of the same vectors with each feature multiplied by a factor of ``scale`` (F,)."""
        return Moments(self.count, self.total * scale, self.scatter * torch.outer(scale, scale))

    def to(self, device: torch.device | str) -> "Moments":
        """Return a copy on a device."""
        return Moments(self.count.to(device), self.total.to(device), self.scatter.to(device))

    @property
    def mean(self) -> Tensor:
        """Mean of the vectors, (F,)."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance, (F, F); NaN with fewer than two vectors."""
        centred = self.scatter - torch.outer(self.total, self.total) / self.count
        return centred / torch.where(self.count > 1, self.count - 1, torch.nan)

    def save(self, path: str | Path, *, protocol: Mapping[str, Any], data: str) -> None:
        """Write a safetensors file. It is complete or not there, and after an error the old file is unchanged.

        Args:
            path: File to write; its folder must exist.
            protocol: How the features were computed, ``FrechetInceptionDistance.protocol``.
            data: What the images are, for instance a hash of the list of files.

        Raises:
            OSError, SafetensorError: The file cannot be written.
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
        """Read a file that ``save`` wrote for the same protocol and data.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file belongs to another protocol or to other data, so the distance would be meaningless.
        """
        with safe_open(path, framework="pt") as stored:
            header = stored.metadata() or {}
            for key, expected in (("protocol", _canonical(protocol)), ("data", data)):
                if header.get(key) != expected:
                    raise ValueError(f"{path} holds moments of {key} {header.get(key)}, expected {expected}; remove it")
            return cls(stored.get_tensor("count")[0], stored.get_tensor("total"), stored.get_tensor("scatter"))


def frechet_distance(first: Moments, second: Moments) -> Tensor:
    r"""Return the Frechet distance between the Gaussians with the given moments (formula in the module docstring).

    The trace of the matrix root is the sum of the square roots of the eigenvalues of the symmetric
    :math:`\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2}`. This avoids complex numbers and works for the rank-deficient
    covariances of sets with fewer images than features. The computation is restricted to the range of
    :math:`\Sigma_1`, taken from the smaller set, so small sets cost little.

    Args:
        first: Moments of one set.
        second: Moments of the other set; the distance is symmetric.

    Returns:
        () float64, at least 0, in squared units of the features; NaN if a set has fewer than two vectors.

    Raises:
        ValueError: The sets have different numbers of features.

    Example:
        >>> first, second = Moments.of(torch.tensor([[0.0], [2.0]])), Moments.of(torch.tensor([[3.0], [5.0]]))
        >>> round(float(frechet_distance(first, second)), 6)  # equal variances, means 1 and 4
        9.0
    """
    if first.total.shape != second.total.shape:
        raise ValueError(f"moments are of {len(first.total)} and {len(second.total)} features")
    if min(int(first.count), int(second.count)) < 2:
        return torch.full((), torch.nan, dtype=torch.float64, device=first.total.device)
    if first.count > second.count:
        first, second = second, first
    covariance, other = first.covariance, second.covariance
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    # Smaller eigenvalues are rounding errors (the tolerance of matrix_rank).
    kept = eigenvalues > eigenvalues[-1] * len(eigenvalues) * torch.finfo(torch.float64).eps
    half = vectors[:, kept] * eigenvalues[kept].sqrt()  # (F, R): covariance = half @ half.T
    product = torch.linalg.eigvalsh(half.T @ other @ half)  # (R,)
    root = product.clamp(min=0).sqrt().sum()
    distance = (first.mean - second.mean).square().sum() + covariance.trace() + other.trace() - 2 * root
    return distance.clamp(min=0)  # rounding could give -1e-13 for identical sets


def standardised_frechet_distance(real: Moments, generated: Moments) -> Tensor:
    r"""Return the Frechet distance in units of the real vectors' own spread.

    .. math:: \frac{1}{F} d(D X, D Y), \quad D = \operatorname{diag}(1 / \sigma_f)

    with the Frechet distance d of the two sets and the standard deviation of the F features of the real vectors. All
    features count alike, whatever their units. 0 is the same distribution; vectors that are all equal to the real mean
    score exactly 1, vectors that vary twice as much in every feature score 1 as well.

    Args:
        real: Moments of the real vectors, which define the unit; the distance is not symmetric.
        generated: Moments of the generated vectors.

    Returns:
        () float64, at least 0, dimensionless; NaN if a set has fewer than two vectors or a real feature never varies.

    Example:
        >>> real, still = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0]])
        >>> round(float(standardised_frechet_distance(Moments.of(real), Moments.of(still))), 6)
        1.0
    """
    variance = real.covariance.diagonal()
    if int(real.count) < 2 or not bool((variance > 0).all()):
        return torch.full((), torch.nan, dtype=torch.float64, device=real.total.device)
    scale = variance.rsqrt()
    return frechet_distance(real.scaled(scale), generated.scaled(scale)) / len(scale)


def _canonical(protocol: Mapping[str, Any]) -> str:
    """Return the same text for equal protocols."""
    return json.dumps(dict(protocol), sort_keys=True)
