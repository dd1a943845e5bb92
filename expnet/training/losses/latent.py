"""The KL divergence of a conditional VAE, with free bits and annealing."""

from __future__ import annotations

from torch import Tensor


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1) in each latent dimension.

    ``(mean^2 + exp(log_variance) - 1 - log_variance) / 2``, in nats, 0 or more.

    Args:
        mean: (N, Z).
        log_variance: (N, Z).

    Returns:
        (N, Z).
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def kl_loss(mean: Tensor, log_variance: Tensor, *, free_nats: float = 0.0) -> Tensor:
    """KL divergence of the windows' posteriors from the prior: summed over latent dimensions, averaged over windows.

    Args:
        mean: (N, Z).
        log_variance: (N, Z).
        free_nats: Lower bound of each dimension's divergence, averaged over the windows (free bits, Kingma et al.,
            arXiv 1606.04934). Below it the gradient vanishes, which keeps the posterior from collapsing.
    """
    per_dimension = gaussian_kl(mean, log_variance).mean(dim=0)  # (Z,)
    return per_dimension.clamp_min(free_nats).sum()


def annealed(step: int, *, steps: int) -> float:
    """Return the fraction of the KL weight at a training step, which rises linearly from 0 to 1 over ``steps``."""
    return 1.0 if steps <= 0 else min(1.0, step / steps)
