"""How blurred a portrait is, so that what is drawn into it can be as blurred."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Standard deviation of the second blur, over the face's width; share of the face's pixels that count as edges.
_SECOND, _EDGES = 0.012, 0.05
# Variance of the blur that central differences add to an edge.
_DIFFERENCES = 1.0 / 3.0


def edge_blur(image: NDArray[np.uint8], points: NDArray) -> float:
    """Estimate the standard deviation, in pixels, of the blur of a face's edges.

    An edge under a Gaussian blur of standard deviation b has a slope in proportion to ``1 / b``, and one that is
    blurred once more by s a slope in proportion to ``1 / sqrt(b^2 + s^2)``. The ratio r of the two, over the steepest
    twentieth of the face, gives ``b = s r / sqrt(1 - r^2)`` (re-blurring, Zhuo and Sim, "Defocus map estimation from a
    single image", 2011), less what central differences add to it. A sharp photograph has about 0.5 pixels.

    Args:
        image: (H, W, 3) uint8.
        points: (V, 2) points of the face in pixels.
    """
    low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, np.array(image.shape[1::-1]) - 2)
    high = np.maximum(np.ceil(points.max(axis=0)).astype(int) + 1, low + 2)
    face = image[low[1] : high[1], low[0] : high[0]].mean(axis=-1)
    second = _SECOND * float(np.ptp(points[:, 0]))
    steep, again = (np.hypot(*np.gradient(one)) for one in (face, ndimage.gaussian_filter(face, second)))
    edges = steep >= max(float(np.quantile(steep, 1.0 - _EDGES)), 1e-9)
    ratio = min(float(again[edges].sum() / max(steep[edges].sum(), 1e-9)), 0.98)
    return float(np.sqrt(max((second * ratio) ** 2 / (1.0 - ratio**2) - _DIFFERENCES, 0.0)))
