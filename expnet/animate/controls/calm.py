"""Calms what trembles in a sampled motion: the lips in pauses of speech, and the eyelids."""

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.motion_scale import LIP_FEATURES, expression_change
from expnet.animate.controls.reference_video import LID_FEATURES
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
    return _smooth_features(space, identity, expression, LIP_FEATURES, weight)


def calm_lids(space: FeatureSpace, identity: Array, expression: Array) -> Array:
    """Smooth the eyelids of an expression (T, E), which follow smiles and frowns; blinks are drawn on top of it."""
    return _smooth_features(space, identity, expression, LID_FEATURES, np.ones(len(expression)))


def _smooth_features(
    space: FeatureSpace, identity: Array, expression: Array, names: tuple[str, ...], weight: Array
) -> Array:
    """Replace features by their average over the frames around, weighted by (T,), as far as that weight goes."""
    total, measured = _smoothed(weight) + 1e-9, space.measured(identity, expression)
    smooth = {name: _smoothed(weight * measured[name]) / total for name in names}
    return expression + expression_change(space, {name: weight * (smooth[name] - measured[name]) for name in names})


def _smoothed(values: Array) -> Array:
    """Convolve (T,) with a Gaussian."""
    reach = int(3 * _SMOOTH)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTH) ** 2)
    return np.convolve(values, taps, mode="full")[reach : reach + len(values)]
