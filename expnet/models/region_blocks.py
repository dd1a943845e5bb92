"""Parts that the networks on regions of a face share."""

from __future__ import annotations

from torch import Tensor, nn


def upsample(x: Tensor) -> Tensor:
    """Double the resolution of x (B, C, H, W)."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Set a layer to zero, so that an untrained network that ends in it changes nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Block(nn.Module):
    """Two convolutions, the first of which may halve the resolution."""

    def __init__(self, entering: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(entering, width, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, W, H / stride, W / stride)."""
        x = nn.functional.leaky_relu(self.first(x), 0.1)
        return nn.functional.leaky_relu(x + self.second(x), 0.1)
