"""Sharpness without a reference: the cumulative probability of blur detection (CPBD).

N. D. Narvekar & L. J. Karam, "A no-reference image blur metric based on the cumulative probability of blur detection",
IEEE TIP 20(9), 2011. The field runs the Python port of the authors' MATLAB code
(https://github.com/0x64746b/python-cpbd), so this follows the port, its oddities included, to the last edge.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from expnet.metrics.functional.canny import canny_edges
from expnet.metrics.functional.edge_width import edge_widths_of

BLOCK = 64
"""Side in pixels of the blocks that are judged one by one; what is left at the right and the bottom is ignored."""
EDGE_BLOCK_SHARE = 0.002
"""A block with at most this share of Canny edge pixels is not looked at."""
LOW_CONTRAST = 50
JUST_NOTICEABLE_WIDTHS = 5, 3
"""Edge widths in pixels at which most people see blur: in blocks of low contrast, and in others."""
BATCH = 8
"""Pictures at a time."""


def cpbd(images: Tensor) -> Tensor:
    r"""Cumulative probability of blur detection of each picture: the share of its edges that do not look blurred.

    An edge of width w looks blurred with probability :math:`1 - \exp(-(w / w_{jnb})^{3.6})`; CPBD is the share of edges
    for which that is at most 63 % (in whole per cents). As widths are whole pixels, these are exactly the edges with
    :math:`w \le w_{jnb}`, so no histogram is needed.

    Args:
        images: (..., 3, H, W), uint8 or float in [0, 1] (rounded to 256 levels), sides at least 64.

    Returns:
        (...) float64 in [0, 1]; 0 for a picture without edges, as in the original.

    Raises:
        ValueError: wrong shape or range, or a picture smaller than one block.
    """
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ValueError(f"images must be (..., 3, H, W), got {tuple(images.shape)}")
    if min(images.shape[-2:]) < BLOCK:
        raise ValueError(f"CPBD needs images of at least {BLOCK} pixels, got {tuple(images.shape[-2:])}")
    if images.numel() == 0:
        return torch.zeros(images.shape[:-3], dtype=torch.float64, device=images.device)
    parts = [_of_grey(luma(part)) for part in images.reshape(-1, *images.shape[-3:]).split(BATCH)]
    return torch.cat(parts).reshape(images.shape[:-3])


def luma(images: Tensor) -> Tensor:
    """Grey levels 0..255 as whole float32 numbers, rounded as Pillow's mode L does: (..., 3, H, W) -> (..., H, W)."""
    if images.is_floating_point():
        if images.min() < 0 or images.max() > 1:
            raise ValueError("images must be uint8 or lie in [0, 1], got values outside it")
        images = (images * 255).round()
    elif images.dtype is not torch.uint8:
        raise ValueError(f"images must be uint8 or floating point, got {images.dtype}")
    red, green, blue = images.to(torch.int32).unbind(-3)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).float()


def sobel_edges(grey: Tensor) -> Tensor:
    """Thinned horizontal-gradient edges, (N, H, W) -> boolean (N, H, W).

    The threshold is that of the old Octave function, twice the root of the mean squared strength, applied to the
    squared strength; thinning keeps what is larger than both neighbours in its row or in its column.
    """
    padded = F.pad(grey.unsqueeze(1), (1, 1, 1, 1), mode="replicate").squeeze(1)
    smooth = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]  # (N, H, W + 2)
    # Whole numbers over 8: exact even in float32, so that ties between neighbours are ties.
    strength = ((smooth[..., 2:] - smooth[..., :-2]) / 8).square()
    threshold = 2 * strength.mean((-1, -2), keepdim=True, dtype=torch.float64).sqrt()
    strength = torch.where(strength > threshold, strength, 0)
    framed = F.pad(strength, (1, 1, 1, 1))
    centre_rows, centre_columns = framed[:, 1:-1], framed[..., 1:-1]
    peak_in_row = (strength > centre_rows[..., :-2]) & (strength > centre_rows[..., 2:])
    peak_in_column = (strength > centre_columns[:, :-2]) & (strength > centre_columns[:, 2:])
    return peak_in_row | peak_in_column


def edge_widths(grey: Tensor, edges: Tensor) -> Tensor:
    """Width in pixels of each edge, after Marziliano: how far the row goes on falling (or rising) on both sides of it.

    Only edges whose gradient points along the row (to a multiple of 45 degrees) have a width.

    Args:
        grey: (N, H, W) whole grey levels, floating point.
        edges: (N, H, W) boolean.

    Returns:
        (N, H, W) int32, 0 where there is no such edge.
    """
    pairs = zip(grey.cpu().numpy(), edges.cpu().numpy(), strict=True)
    return torch.from_numpy(np.stack([edge_widths_of(*pair) for pair in pairs])).to(grey.device)


def sharp_share(grey: Tensor, canny_edges: Tensor, widths: Tensor) -> Tensor:
    """Share of the edges in edge blocks that are at most just noticeably wide.

    Args:
        grey: (N, H, W).
        canny_edges: (N, H, W) boolean, which decide which blocks count.
        widths: (N, H, W) from ``edge_widths``.

    Returns:
        (N,) float64, 0 where there is no edge.
    """
    light, edges, wide = _blocks(grey), _blocks(canny_edges), _blocks(widths)  # (N, blocks, 64 * 64)
    counted = edges.sum(-1) > EDGE_BLOCK_SHARE * BLOCK**2
    contrast = (light.amax(-1) - light.amin(-1)).floor()
    low, high = JUST_NOTICEABLE_WIDTHS
    limit = torch.where(contrast <= LOW_CONTRAST, low, high).unsqueeze(-1)
    seen = (wide > 0) & counted.unsqueeze(-1)
    total = seen.sum((-1, -2))
    return (seen & (wide <= limit)).sum((-1, -2)).double() / total.clamp(min=1)


def _of_grey(grey: Tensor) -> Tensor:
    """CPBD of grey pictures (N, H, W)."""
    # On the CPU: linking edges is a search for connected parts. Its thresholds are meant for pictures in [0, 1]; the
    # original hands it 0..255.
    masks = [torch.from_numpy(canny_edges(picture)) for picture in grey.double().cpu().numpy()]
    return sharp_share(grey, torch.stack(masks).to(grey.device), edge_widths(grey, sobel_edges(grey)))


def _blocks(planes: Tensor) -> Tensor:
    """Cut whole blocks: (N, H, W) -> (N, blocks, 64 * 64)."""
    rows, columns = planes.shape[-2] // BLOCK, planes.shape[-1] // BLOCK
    cut = planes[:, : rows * BLOCK, : columns * BLOCK].reshape(len(planes), rows, BLOCK, columns, BLOCK)
    return cut.transpose(2, 3).flatten(3).flatten(1, 2)
