"""The latents of real motion as a Gaussian, gathered while training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEMORY = 0.02
"""Share of a training batch in the running moments."""


class LatentPrior(nn.Module):
    """Draw latents that are spread like those of real motion.

    The divergence keeps the posteriors near N(0, I) but their sum never gets there; drawn from N(0, I), heads move too
    little. A Gaussian fitted to the sum of posteriors mends that (Ghosh et al., arXiv 1903.12436).

    Args:
        size: Z.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("covariance", torch.eye(size))

    @torch.no_grad()
    def remember(self, mean: Tensor, log_variance: Tensor) -> None:
        """Follow mean and covariance of the latents of real motion, over windows and posterior noise: (N, Z) each."""
        mean, log_variance = mean.to(self.mean), log_variance.to(self.mean)
        with torch.autocast(mean.device.type, enabled=False):
            centre = mean.mean(dim=0)
            spread = (mean - centre).T @ (mean - centre) / len(mean) + torch.diag(log_variance.exp().mean(dim=0))
            self.mean.lerp_(centre, MEMORY)
            # around the remembered mean, so that batches which differ in their means spread the covariance
            away = centre - self.mean
            self.covariance.lerp_(spread + torch.outer(away, away), MEMORY)

    def factor(self) -> Tensor:
        """Return the lower Cholesky factor (Z, Z) of the covariance, found in float64."""
        return torch.linalg.cholesky_ex(self.covariance.double())[0].to(self.covariance.dtype)

    def forward(self, noise: Tensor, factor: Tensor | None = None) -> Tensor:
        """Turn standard normal noise (N, Z) into latents; ``factor`` is that of `factor`, for those who draw often."""
        return self.mean + noise @ (self.factor() if factor is None else factor).T.to(noise.dtype)
