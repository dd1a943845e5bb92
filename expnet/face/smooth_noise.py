"""Smooth random motion, for the involuntary movement of a head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from expnet.audio.alignment import FRAME_RATE


def draw_smooth_noise(random: np.random.Generator, frames: int, seconds: float, size: int = 1) -> NDArray[np.float64]:
    """Draw smooth Gaussian noise of unit variance with a correlation time of about ``seconds``.

    Args:
        random: Random generator.
        frames: Number of frames T, at 25 frames/s.
        seconds: Standard deviation of the Gaussian kernel.
        size: Number of independent curves D.

    Returns:
        (T, D).
    """
    sigma = seconds * FRAME_RATE
    margin = int(4 * sigma) + 1
    noise = random.normal(size=(frames + 2 * margin, size))
    smooth = gaussian_filter1d(noise, sigma, axis=0, mode="wrap")[margin : margin + frames]
    return smooth * np.sqrt(2.0 * np.sqrt(np.pi) * sigma)  # a Gaussian kernel divides the variance by 2 sqrt(pi) sigma
