"""Input of the Inception network under three protocols, whose FID values are not comparable.

Each resizes to 299 x 299 and scales the values. On average, the resized images of two protocols differ by half a grey
level at 256 pixels and by almost two at 512, which is enough to change the Frechet distance.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

INCEPTION_SIDE = 299
INCEPTION_PROTOCOLS = ("pytorch_fid", "torch_fidelity", "clean_fid")


def inception_input(images: Tensor, protocol: str) -> Tensor:
    """Resize and scale images as a FID tool does.

    - ``pytorch_fid``: bilinear between pixel centres without antialiasing; :math:`(v - 127.5) / 127.5`.
      https://github.com/mseitzer/pytorch-fid
    - ``torch_fidelity``: bilinear as in TensorFlow 1, whose grid is aligned at the top left pixel;
      :math:`(v - 128) / 128`. https://github.com/toshas/torch-fidelity (also torchmetrics with ``antialias=False``)
    - ``clean_fid``: Pillow's antialiased bicubic without rounding, clipped to [0, 255]; :math:`(v - 128) / 128`.
      https://github.com/GaParmar/clean-fid

    Args:
        images: (N, 3, H, W) uint8. Floating point images are refused, since the tools round them differently.
        protocol: One of ``INCEPTION_PROTOCOLS``.

    Returns:
        (N, 3, 299, 299) float32, about in [-1, 1].

    Raises:
        ValueError: Shape, dtype or protocol are wrong.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype is not torch.uint8:
        raise ValueError(f"images must be (N, 3, H, W) uint8, got {tuple(images.shape)} {images.dtype}")
    size = (INCEPTION_SIDE, INCEPTION_SIDE)
    if protocol == "pytorch_fid":
        return 2 * F.interpolate(images.float() / 255, size, mode="bilinear", align_corners=False) - 1
    if protocol == "torch_fidelity":
        return (_corner_bilinear(images.float(), INCEPTION_SIDE) - 128) / 128
    if protocol == "clean_fid":
        resized = F.interpolate(images.float(), size, mode="bicubic", align_corners=False, antialias=True)
        return (resized.clamp(0, 255) - 128) / 128
    raise ValueError(f"protocol must be one of {', '.join(INCEPTION_PROTOCOLS)}, got {protocol!r}")


def _corner_bilinear(images: Tensor, side: int) -> Tensor:
    """Resize (N, C, H, W) as TensorFlow 1's ``resize_bilinear``: output pixel i lies at input pixel i * size / side."""
    top, bottom, down = _neighbours(images.shape[-2], side, images)
    left, right, across = _neighbours(images.shape[-1], side, images)
    upper, lower = images[..., top, :], images[..., bottom, :]
    # Not torch.lerp, whose rounding differs from the tool's, which this matches bit for bit.
    upper = upper[..., left] + (upper[..., right] - upper[..., left]) * across
    lower = lower[..., left] + (lower[..., right] - lower[..., left]) * across
    return upper + (lower - upper) * down[:, None]


def _neighbours(size: int, side: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the index before, the index after and the weight of the latter, each (side,)."""
    places = torch.arange(side, device=like.device, dtype=like.dtype) * (size / side)
    before = places.long()
    return before, (before + 1).clamp(max=size - 1), places - before
