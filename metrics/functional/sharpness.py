"""No-reference sharpness: the cumulative probability of blur detection (CPBD).

N. D. Narvekar & L. J. Karam, "A no-reference image blur metric based on the cumulative probability of blur detection",
IEEE TIP 20(9), 2011. Papers use the Python port of the authors' MATLAB code
(https://github.com/0x64746b/python-cpbd). This implementation gives the same values as the port, quirks included.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from expnet.metrics.functional.canny import canny_edges
from expnet.metrics.functional.edge_width import edge_widths_of

BLOCK = 64
"""Side in pixels of the blocks that are judged one by one; incomplete blocks at the right and bottom are ignored."""
EDGE_BLOCK_SHARE = 0.002
"""Share of Canny edge pixels that a block must exceed to count."""
LOW_CONTRAST = 50
"""Maximum range of grey levels in a block of low contrast."""
JUST_NOTICEABLE_WIDTHS = 5, 3
"""Edge widths in pixels at which most people notice blur: in blocks of low contrast, and in others."""
BATCH = 8
"""Number of images that are processed at once."""


def cpbd(images: Tensor) -> Tensor:
    r"""Return the cumulative probability of blur detection of each image: the share of its edges that look sharp.

    An edge of width w looks blurred with probability :math:`1 - \exp(-(w / w_{jnb})^{3.6})`. CPBD is the share of edges
    whose probability, in whole per cent, is at most 63. Since widths are integers, these are exactly the edges with
    :math:`w \le w_{jnb}`, so no histogram is needed.

    Args:
        images: (..., 3, H, W), uint8 or floating point in [0, 1] (rounded to 256 levels), both sides at least 64.

    Returns:
        (...) float64 in [0, 1], higher is sharper; 0 for an image without edges, as in the original.

    Raises:
        ValueError: Shape or range are wrong, or an image is smaller than one block.
    """
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ValueError(f"images must be (..., 3, H, W), got {tuple(images.shape)}")
    if min(images.shape[-2:]) < BLOCK:
        raise ValueError(f"CPBD needs images of at least {BLOCK} pixels, got {tuple(images.shape[-2:])}")
    if images.numel() == 0:
        return torch.zeros(images.shape[:-3], dtype=torch.float64, device=images.device)
    parts = [_cpbd_of_grey(luma(part)) for part in images.reshape(-1, *images.shape[-3:]).split(BATCH)]
    return torch.cat(parts).reshape(images.shape[:-3])


def luma(images: Tensor) -> Tensor:
    """Return integer grey levels 0 to 255 as float32, rounded as Pillow's mode L: (..., 3, H, W) -> (..., H, W)."""
    if images.is_floating_point():
        if images.min() < 0 or images.max() > 1:
            raise ValueError("images must be uint8 or lie in [0, 1], got values outside it")
        images = (images * 255).round()
    elif images.dtype is not torch.uint8:
        raise ValueError(f"images must be uint8 or floating point, got {images.dtype}")
    red, green, blue = images.to(torch.int32).unbind(-3)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).float()


def sobel_edges(grey: Tensor) -> Tensor:
    """Return the thinned edges of the horizontal gradient, (N, H, W) -> boolean (N, H, W).

    As in the old Octave function, the squared gradient is compared with twice the root of its mean. Thinning keeps
    pixels that exceed both neighbours in their row or in their column.
    """
    padded = F.pad(grey.unsqueeze(1), (1, 1, 1, 1), mode="replicate").squeeze(1)
    smooth = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]  # (N, H, W + 2)
    # Integers divided by 8 are exact in float32, so ties between neighbours remain ties.
    strength = ((smooth[..., 2:] - smooth[..., :-2]) / 8).square()
    threshold = 2 * strength.mean((-1, -2), keepdim=True, dtype=torch.float64).sqrt()
    strength = torch.where(strength > threshold, strength, 0)
    framed = F.pad(strength, (1, 1, 1, 1))
    centre_rows, centre_columns = framed[:, 1:-1], framed[..., 1:-1]
    peak_in_row = (strength > centre_rows[..., :-2]) & (strength > centre_rows[..., 2:])
    peak_in_column = (strength > centre_columns[:, :-2]) & (strength > centre_columns[:, 2:])
    return peak_in_row | peak_in_column


def edge_widths(grey: Tensor, edges: Tensor) -> Tensor:
    """Return the width of each edge after Marziliano: the length over which the row rises or falls monotonically.

    Only edges whose gradient, rounded to a multiple of 45 degrees, points along the row have a width.

    Args:
        grey: Integer grey levels as floating point, (N, H, W).
        edges: Edges, (N, H, W) boolean.

    Returns:
        Widths in pixels, (N, H, W) int32, 0 where there is no such edge.
    """
    pairs = zip(grey.cpu().numpy(), edges.cpu().numpy(), strict=True)
    return torch.from_numpy(np.stack([edge_widths_of(*pair) for pair in pairs])).to(grey.device)


def sharp_share(grey: Tensor, canny_edges: Tensor, widths: Tensor) -> Tensor:
    """Return the share of edges, among those in counted blocks, that are at most just noticeably wide.

    Args:
        grey: Grey levels, (N, H, W).
        canny_edges: Canny edges, (N, H, W) boolean, by which blocks are counted or not.
        widths: Result of ``edge_widths``, (N, H, W).

    Returns:
        (N,) float64, 0 without an edge.
    """
    light, edges, wide = _blocks(grey), _blocks(canny_edges), _blocks(widths)  # (N, blocks, 64 * 64)
    counted = edges.sum(-1) > EDGE_BLOCK_SHARE * BLOCK**2
    contrast = (light.amax(-1) - light.amin(-1)).floor()
    low, high = JUST_NOTICEABLE_WIDTHS
    limit = torch.where(contrast <= LOW_CONTRAST, low, high).unsqueeze(-1)
    measured = (wide > 0) & counted.unsqueeze(-1)
    total = measured.sum((-1, -2))
    return (measured & (wide <= limit)).sum((-1, -2)).double() / total.clamp(min=1)


def _cpbd_of_grey(grey: Tensor) -> Tensor:
    """Return the CPBD of grey images (N, H, W)."""
    # Canny runs on the CPU, since its hysteresis is a connected-component search. Its thresholds are meant for levels
    # in [0, 1], but the original passes 0 to 255.
    masks = [torch.from_numpy(canny_edges(image)) for image in grey.double().cpu().numpy()]
    return sharp_share(grey, torch.stack(masks).to(grey.device), edge_widths(grey, sobel_edges(grey)))


def _blocks(planes: Tensor) -> Tensor:
    """Split into complete blocks: (N, H, W) -> (N, blocks, 64 * 64)."""
    rows, columns = planes.shape[-2] // BLOCK, planes.shape[-1] // BLOCK
    cut = planes[:, : rows * BLOCK, : columns * BLOCK].reshape(len(planes), rows, BLOCK, columns, BLOCK)
    return cut.transpose(2, 3).flatten(3).flatten(1, 2)
