"""Batch normalisation over the batches of all processes, on CPUs as well as on GPUs."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def share_batch_norm(network: nn.Module) -> nn.Module:
    """Let every batch normalisation of a network use the statistics of all processes while it is trained.

    torch's own ``SyncBatchNorm`` does so on GPUs only. Parameters and their names stay; on one process, so does every
    result.
    """
    for module in network.modules():
        if type(module) in (nn.BatchNorm2d, nn.BatchNorm3d):
            module.__class__ = SharedBatchNorm
    return network


class SharedBatchNorm(_BatchNorm):
    """`torch.nn.BatchNorm2d` and ``3d`` whose mean and variance are those of the batches of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, ...)."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not self.training or not distributed or torch.distributed.get_world_size() == 1:
            return super().forward(x)
        dtype, x = x.dtype, x.float()
        axes = [0, *range(2, x.ndim)]
        count = x.numel() // x.shape[1] * torch.distributed.get_world_size()  # batches are of equal size
        mean = _SumOfProcesses.apply(x.sum(dim=axes)) / count  # (C,)
        shape = (1, -1, *[1] * (x.ndim - 2))
        variance = _SumOfProcesses.apply((x - mean.view(shape)).square().sum(dim=axes)) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return ((x - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept images and volumes."""


class _SumOfProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes, whose losses are summed, too."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total
