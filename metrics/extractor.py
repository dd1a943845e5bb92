"""A network that a metric uses but does not own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn


class Extractor:
    """A frozen network in evaluation mode and full precision, invisible to the module that holds the metric.

    As a submodule of a metric in a LightningModule, a network would enter checkpoints (Inception: 91 MB each), the
    parameters and distributed training, and would be cast to bfloat16 with the module. This wrapper is not an
    ``nn.Module``, which prevents all of that. It runs in float32 without gradients, autocast or TF32, on the device of
    its input, where it stays until ``release``.

    Args:
        network: Any module that maps tensors to tensors; it is shared, never copied.
        name: Name for protocols and messages.
        checksum: SHA-256 of the weight file; empty for random weights.
    """

    def __init__(self, network: nn.Module, *, name: str = "", checksum: str = "") -> None:
        self.network = network.eval().requires_grad_(False).float()
        self.name = name or type(network).__name__
        self.checksum = checksum

    def __call__(self, *inputs: Tensor, **options: Any) -> Any:
        """Run the network on the device of its first input."""
        device = inputs[0].device
        self.to(device)
        with torch.no_grad(), torch.autocast(device.type, enabled=False), _full_precision():
            return self.network(*(value.float() if value.is_floating_point() else value for value in inputs), **options)

    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device."""
        if next(self.network.parameters(), torch.empty(0)).device != torch.device(device):
            self.network.to(device)
        return self

    def release(self) -> None:
        """Free the device's memory by moving the network to the CPU until the next call."""
        self.to("cpu")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the wrapper itself, so that copies of a metric share the network."""
        return self


def as_extractor(network: nn.Module | Extractor) -> Extractor:
    """Wrap a plain module in an `Extractor`, which takes its ``name`` from the module if there is one."""
    if isinstance(network, Extractor):
        return network
    name = getattr(network, "name", "")
    return Extractor(network, name=name if isinstance(name, str) else "")


@contextmanager
def _full_precision() -> Iterator[None]:
    """Disable TF32, whose ten mantissa bits would change reported numbers."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
