"""ARKit's 52 blendshapes from expression coefficients: a linear measure of each, scaled by its span.

A blendshape is measured as Apple's documentation describes it ("downward movement of the outer corner of the left side
of the mouth"): a weighted sum of landmark coordinates, in units of the mean face's outer-eye-corner distance. Landmarks
are linear in the expression beta, so with the landmark basis B (68, 3, E), the table's weights F and spans s

    weight_k(beta) = clip((F_k : B beta - rest_k) / s_k, 0, 1)

This needs no data beyond the face model, and works for every face model with the 68 landmarks. ``rest`` is the measure
of the face at rest. People differ in it by more than they move, so by default it is estimated from the clip, as the
10 % quantile of the measure over the clip (the median for shapes that come in opposite pairs); the alternative is the
mean face of the face model. The spans are the distances that the landmarks of a full shape travel.

Shapes that the coefficients do not determine stay 0: gaze (EyeLook...), cheeks and tongue (``UNSEEN``).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from expnet.face.measures import OUTER_EYE_CORNERS
from expnet.face.morphable import MorphableModel

Array = NDArray[np.float64]
Rest = Literal["clip", "mean face"]

_X, _Y, _Z = 0, 1, 2
_Term = tuple[tuple[int, ...], int, float]

# Landmarks of the left half and their mirror images, in both directions.
_LEFT = (22, 23, 24, 25, 26, 42, 43, 44, 45, 46, 47, 35, 54, 53, 52, 55, 56, 64, 63, 65, 9)
_RIGHT = (21, 20, 19, 18, 17, 39, 38, 37, 36, 41, 40, 31, 48, 49, 50, 59, 58, 60, 61, 67, 7)
_MIRROR = dict(zip(_LEFT + _RIGHT, _RIGHT + _LEFT, strict=True))

_CHIN = (7, 8, 9)
_OUTER_LIPS = tuple(range(48, 60))
_LIDS: tuple[_Term, ...] = (((43, 44), _Y, 0.5), ((46, 47), _Y, -0.5))  # the gap between the left lids
_JAW_DOWN: tuple[_Term, ...] = ((_CHIN, _Y, -1 / 3),)
_GAP: tuple[_Term, ...] = (((61, 62, 63), _Y, 1 / 3), ((65, 66, 67), _Y, -1 / 3))
_NARROW: tuple[_Term, ...] = (((48,), _X, 1.0), ((54,), _X, -1.0))
_FORWARD: tuple[_Term, ...] = (((50, 51, 52, 56, 57, 58), _Z, 1 / 6),)
_UPPER_RED: tuple[_Term, ...] = (((50, 51, 52), _Y, 1 / 3), ((61, 62, 63), _Y, -1 / 3))
_LOWER_RED: tuple[_Term, ...] = (((65, 66, 67), _Y, 1 / 3), ((56, 57, 58), _Y, -1 / 3))


def _times(factor: float, terms: tuple[_Term, ...]) -> tuple[_Term, ...]:
    return tuple((points, axis, factor * weight) for points, axis, weight in terms)


@dataclass(frozen=True)
class Measure:
    """How one blendshape is measured.

    Attributes:
        terms: Landmarks (iBUG), axis and weight of each; x to the image's right, y up, z toward the viewer.
        span: Change of the measure from rest to the full shape, in outer-eye-corner distances.
        paired: Whether it has an opposite (left and right, up and down), so that rest lies in the middle of a clip.
    """

    terms: tuple[_Term, ...]
    span: float
    paired: bool = False


# The subject's left side; the right side is its mirror image.
_SIDED: dict[str, Measure] = {
    "EyeBlink": Measure(_times(-1.0, _LIDS), 0.095),
    "EyeSquint": Measure((((46, 47), _Y, 0.5), *_times(-0.5, _LIDS)), 0.06),
    "EyeWide": Measure(_LIDS, 0.04, paired=True),
    "MouthSmile": Measure((((54,), _Y, 0.7), ((54,), _X, 0.7), *_times(0.2, _JAW_DOWN)), 0.15),
    "MouthFrown": Measure((((54,), _Y, -1.0), ((51, 57), _Y, 0.5)), 0.08, paired=True),
    "MouthDimple": Measure((((54,), _X, 0.3), ((54,), _Z, -1.0)), 0.08, paired=True),
    "MouthStretch": Measure((((54,), _X, 0.7), ((54,), _Y, -0.7)), 0.12),
    "MouthPress": Measure((((52,), _Y, -1.0), ((63,), _Y, 1.0), ((65,), _Y, -1.0), ((56,), _Y, 1.0)), 0.1, paired=True),
    "MouthLowerDown": Measure((((55, 56, 65), _Y, -1 / 3), (_CHIN, _Y, 1 / 6)), 0.12),
    "MouthUpperUp": Measure((((52, 53, 63), _Y, 1 / 3),), 0.08),
    "BrowDown": Measure((((22, 23, 24), _Y, -1 / 3),), 0.08, paired=True),
    "BrowOuterUp": Measure((((24, 25, 26), _Y, 1 / 3),), 0.12, paired=True),
    "NoseSneer": Measure((((35,), _Y, 1.0),), 0.06),
}
_WHOLE: dict[str, Measure] = {
    "JawForward": Measure(((_CHIN, _Z, 1 / 3),), 0.1, paired=True),
    "JawRight": Measure(((_CHIN, _X, -1 / 3),), 0.1, paired=True),
    "JawLeft": Measure(((_CHIN, _X, 1 / 3),), 0.1, paired=True),
    "JawOpen": Measure((*_times(0.5, _JAW_DOWN), ((65, 66, 67), _Y, -1 / 6)), 0.3),
    "MouthClose": Measure((*_JAW_DOWN, *_times(-1.0, _GAP)), 0.3),
    "MouthFunnel": Measure((*_times(0.5, _NARROW), *_times(0.7, _GAP), *_FORWARD), 0.3),
    "MouthPucker": Measure((*_NARROW, *_times(-0.3, _GAP), *_FORWARD), 0.3),
    "MouthRight": Measure(((_OUTER_LIPS, _X, -1 / 12),), 0.12, paired=True),
    "MouthLeft": Measure(((_OUTER_LIPS, _X, 1 / 12),), 0.12, paired=True),
    "MouthRollLower": Measure(_times(-1.0, _LOWER_RED), 0.1, paired=True),
    "MouthRollUpper": Measure(_times(-1.0, _UPPER_RED), 0.08, paired=True),
    "MouthShrugLower": Measure((((56, 57, 58), _Y, 1 / 3), *_times(-0.5, _JAW_DOWN)), 0.12, paired=True),
    "MouthShrugUpper": Measure((((50, 51, 52), _Y, 1 / 3), *_times(-0.5, _GAP)), 0.06, paired=True),
    "BrowInnerUp": Measure((((21, 22), _Y, 0.5),), 0.12, paired=True),
}

# The columns of the CSV file of Epic's Live Link Face, in its order.
_EYE = ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
BLENDSHAPES: tuple[str, ...] = (
    *(f"Eye{part}{side}" for side in ("Left", "Right") for part in _EYE),
    *("JawForward", "JawRight", "JawLeft", "JawOpen"),
    *("MouthClose", "MouthFunnel", "MouthPucker", "MouthRight", "MouthLeft"),
    *(f"Mouth{part}{side}" for part in ("Smile", "Frown", "Dimple", "Stretch") for side in ("Left", "Right")),
    *("MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper"),
    *(f"Mouth{part}{side}" for part in ("Press", "LowerDown", "UpperUp") for side in ("Left", "Right")),
    *("BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight"),
    *("CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut"),
)
"""The 52 names in the order of Live Link Face."""


def _mirrored(measure: Measure) -> Measure:
    terms = []
    for points, axis, weight in measure.terms:
        other = tuple(_MIRROR.get(point, point) for point in points)
        terms.append((other, axis, -weight if axis == _X else weight))
    return Measure(tuple(terms), measure.span, measure.paired)


MEASURES: dict[str, Measure] = {
    **_WHOLE,
    **{f"{name}Left": measure for name, measure in _SIDED.items()},
    **{f"{name}Right": _mirrored(measure) for name, measure in _SIDED.items()},
}
"""Measures of the blendshapes by name."""

UNSEEN: tuple[str, ...] = tuple(name for name in BLENDSHAPES if name not in MEASURES)
"""Blendshapes that the coefficients do not determine; their weight is 0."""


@lru_cache(maxsize=4)
def landmark_weights(model: MorphableModel) -> Array:
    """Return the table for one face model: (52, 68, 3), the weight of each landmark coordinate divided by the span."""
    landmarks = model.mean.numpy()[model.landmark_indices.numpy()].astype(np.float64)  # (68, 3)
    right, left = OUTER_EYE_CORNERS
    unit = float(np.linalg.norm(landmarks[left] - landmarks[right]))
    weights = np.zeros((len(BLENDSHAPES), *landmarks.shape))
    for name, measure in MEASURES.items():
        for points, axis, weight in measure.terms:
            weights[BLENDSHAPES.index(name), list(points), axis] += weight / (unit * measure.span)
    return weights


def blendshape_weights(
    model: MorphableModel, expression: NDArray[np.floating], *, rest: Rest = "clip", blink: NDArray | None = None
) -> NDArray[np.float32]:
    """Return the weights of the 52 blendshapes.

    Args:
        model: The face model of the coefficients.
        expression: (T, E).
        rest: The face with all weights 0: estimated from the clip, or the model's mean face. Clips of less than a
            second are too short for the estimate.
        blink: (T,) eyelid closure in addition to the expression, from 0 (none) to 1 (shut).

    Returns:
        (T, 52) in [0, 1], in the order of :data:`BLENDSHAPES`.
    """
    basis = model.expression_basis.numpy()[model.landmark_indices.numpy()].astype(np.float64)  # (68, 3, E)
    response = np.einsum("klc,lce->ke", landmark_weights(model), basis)  # (52, E)
    amounts = np.asarray(expression, np.float64) @ response.T  # (T, 52)
    if rest == "clip":
        paired = np.array([name in MEASURES and MEASURES[name].paired for name in BLENDSHAPES])
        amounts = amounts - np.where(paired, np.median(amounts, axis=0), np.quantile(amounts, 0.1, axis=0))
    weights = np.clip(amounts, 0.0, 1.0)
    if blink is not None:
        # The blink closes what the expression leaves open.
        for name in ("EyeBlinkLeft", "EyeBlinkRight"):
            column = BLENDSHAPES.index(name)
            weights[:, column] += (1.0 - weights[:, column]) * np.clip(blink, 0.0, 1.0)
    return weights.astype(np.float32)
