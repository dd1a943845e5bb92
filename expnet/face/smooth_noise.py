"""Smooth random motion: what a head does that nobody planned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from expnet.audio.alignment import FRAME_RATE


def wander(random: np.random.Generator, frames: int, seconds: float, size: int = 1) -> NDArray[np.float64]:
    """Draw smooth Gaussian noise of unit variance that forgets itself within about ``seconds``.

    Args:
        random: source of randomness.
        frames: T, at 25 frames a second.
        seconds: standard deviation of the Gaussian kernel.
        size: D, number of independent curves.

    Returns:
        (T, D).
    """
    sigma = seconds * FRAME_RATE
    margin = int(4 * sigma) + 1
    noise = random.normal(size=(frames + 2 * margin, size))
    smooth = gaussian_filter1d(noise, sigma, axis=0, mode="wrap")[margin : margin + frames]
    return smooth * np.sqrt(2.0 * np.sqrt(np.pi) * sigma)  # a Gaussian kernel divides the variance by 2 sqrt(pi) sigma
