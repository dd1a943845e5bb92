"""Averages over valid frames that stay finite and differentiable when a batch has none."""

from __future__ import annotations

from torch import Tensor


def masked_mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """Average values (...) over the entries where valid (...) is true; 0 where there are none.

    The metrics average differently: `expnet.metrics` scores a clip without valid frames as NaN.
    """
    if valid is None:
        return values.mean()
    weight = valid.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp_min(1.0)


def both_valid(valid: Tensor | None) -> Tensor | None:
    """Return (..., T - 1) bool: whether each frame and its successor are both valid."""
    return None if valid is None else valid[..., 1:] & valid[..., :-1]
