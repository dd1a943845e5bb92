"""Calms what speech does not move: the lips in pauses, and the eyelids of a sampled motion."""

import numpy as np
from numpy.typing import NDArray

from expnet.animate.controls.motion_scale import LIP_FEATURES, expression_change
from expnet.animate.controls.reference_video import LID_FEATURES
from expnet.face.facial_features import FeatureSpace

Array = NDArray[np.float64]

_SMOOTH = 6.0  # standard deviation in frames: slower than any articulation, faster than a smile
_RAMP = 5  # frames over which it sets in and ends
_CLOSING = 15  # frames of a pause over which the lips close, and open again before its end


def calm_lips(space: FeatureSpace, identity: Array, expression: Array, rest: Array, pauses: NDArray[np.bool_]) -> Array:
    """Let the lips rest in pauses: smooth their articulation, close them in longer ones, and change nothing else.

    Networks leave the lips as far apart in a pause as people in training clips do, who breathe and go on, for as long
    as the pause lasts. A sampled motion is moreover as lively as the tracked faces that it was learned from, trembling
    of the tracker included: in speech that cannot be seen; on lips that rest it can.

    Args:
        space: Features of the face model.
        identity: Identity coefficients (K,).
        expression: Expression (T, E).
        rest: Expression (E,) with closed lips.
        pauses: (T,), see `expnet.audio.pauses.pauses`.

    Returns:
        (T, E).
    """
    if not pauses.any():
        return expression
    calm = _smooth_features(space, identity, expression, LIP_FEATURES, _inside(pauses, _RAMP))
    depth = _inside(pauses, _CLOSING)
    depth = depth * depth * (3.0 - 2.0 * depth)
    own, closed = space.measured(identity, calm), space.measured(identity, rest[None])
    return calm + expression_change(space, {name: depth * (closed[name] - own[name]) for name in LIP_FEATURES})


def _inside(pauses: NDArray[np.bool_], frames: int) -> Array:
    """Return how far inside a pause each frame lies (T,): 0 outside, 1 from half of ``frames`` on."""
    resting = np.pad(pauses.astype(np.float64), frames // 2, mode="edge")
    share = np.convolve(resting, np.ones(frames) / frames, mode="valid")  # (T,) from 0.5 at an edge to 1
    return np.clip(2.0 * share - 1.0, 0.0, 1.0) * pauses


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
