"""A Gaussian fitted to the latents of real motion during training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEMORY = 0.02
"""Weight of a training batch in the running moments."""


class LatentPrior(nn.Module):
    """Draws latents that are distributed like those of real motion.

    The KL divergence keeps the posteriors near N(0, I), but the aggregate posterior still differs from it, and heads
    drawn from N(0, I) move too little. A Gaussian fitted to the aggregate posterior corrects this (Ghosh et al.,
    arXiv 1903.12436).

    Args:
        size: Z, size of a latent.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("covariance", torch.eye(size))

    @torch.no_grad()
    def remember(self, mean: Tensor, log_variance: Tensor) -> None:
        """Update the running moments with the posteriors of real motion, ``mean`` and ``log_variance`` (N, Z) each."""
        mean, log_variance = mean.to(self.mean), log_variance.to(self.mean)
        with torch.autocast(mean.device.type, enabled=False):
            centre = mean.mean(dim=0)
            spread = (mean - centre).T @ (mean - centre) / len(mean) + torch.diag(log_variance.exp().mean(dim=0))
            self.mean.lerp_(centre, MEMORY)
            # Around the running mean, so that differences between the means of batches widen the covariance.
            offset = centre - self.mean
            self.covariance.lerp_(spread + torch.outer(offset, offset), MEMORY)

    def factor(self) -> Tensor:
        """Return the lower Cholesky factor (Z, Z) of the covariance, computed in float64."""
        return torch.linalg.cholesky_ex(self.covariance.double())[0].to(self.covariance.dtype)

    def forward(self, noise: Tensor, factor: Tensor | None = None) -> Tensor:
        """Map standard normal noise (N, Z) to latents; ``factor`` is the result of `factor`, if already computed."""
        return self.mean + noise @ (self.factor() if factor is None else factor).T.to(noise.dtype)
