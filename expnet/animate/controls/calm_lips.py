"""Calms the lips in the pauses of speech."""

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.motion_scale import LIP_FEATURES, expression_change
from expnet.face.facial_features import FeatureSpace

Array = NDArray[np.float64]

_SMOOTH = 6.0  # standard deviation in frames: slower than any articulation, faster than a smile
_RAMP = 5  # frames over which it sets in and ends


def calm_lips(space: FeatureSpace, identity: Array, expression: Array, pauses: NDArray[np.bool_]) -> Array:
    """Smooth the articulation of the lips in pauses, and nothing else of the face.

    A sampled motion is as lively as the tracked faces that it was learned from, trembling of the tracker included. In
    speech that cannot be seen; on lips that rest it can.

    Args:
        space: Features of the face model.
        identity: Identity coefficients (K,).
        expression: Expression (T, E).
        pauses: (T,), see `expnet.audio.pauses.pauses`.

    Returns:
        (T, E).
    """
    resting = pauses.astype(np.float64)
    weight = np.convolve(resting, np.ones(_RAMP) / _RAMP, mode="same")[: len(resting)] * resting  # (T,)
    if not weight.any():
        return expression
    total = _smoothed(weight) + 1e-9
    change = {}
    for name, values in space.measured(identity, expression).items():
        if name in LIP_FEATURES:
            change[name] = weight * (_smoothed(weight * values) / total - values)
    return expression + expression_change(space, change)


def _smoothed(values: Array) -> Array:
    """Convolve (T,) with a Gaussian."""
    reach = int(3 * _SMOOTH)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTH) ** 2)
    return np.convolve(values, taps, mode="full")[reach : reach + len(values)]
