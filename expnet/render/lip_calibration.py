"""Openings of the mouth that are *seen* as they are asked for: the portrait's own rendered mouths are tracked again.

The contour of the lips is drawn where the coefficients put it, to a fraction of a pixel. What shows between the lips is
painted, however, and makes the mouth of one portrait look more open, and of another less: a bright edge of teeth
widens a gap of a millimetre, the inside of the lower lip narrows a wide one. A few openings of each portrait are
therefore rendered and tracked, and the gap to draw is chosen such that it is seen as wide as the gap asked for.

On turned and on small faces the bias of these few mouths says little about the bias in other frames, so there the
correction fades out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from expnet.coefficients import FaceCoefficients
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import SETTLING_PASSES, FaceTracker, open_tracker
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import Portrait
from expnet.render.portrait_motion import PortraitMotion

Array = NDArray[np.float64]

GAPS = (0.0, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.13, 0.16, 0.2, 0.25)
"""Gaps of the face model's lips that are tried, in face units (100 mm)."""
WIDTHS = (0.0, -0.05)
"""Changes in face units of the width that a mouth has at a gap; every gap is tried at each."""
_INNER_LIPS, _CORNERS = (13, 14), (291, 61)
# Side in pixels of the face's crop at which the mouths are tracked, at most.
_SIDE = 256
# Turn of the portrait's head in degrees up to which the bias is trusted in full, and beyond which it is not at all; the
# same for the side of the face's crop in pixels.
_STRAIGHT, _TURNED = 8.0, 20.0
_LARGE, _SMALL = 160.0, 100.0
# Share of the measured bias that is corrected, and its limit in face units: single frames are tracked with noise.
_SHARE, _LARGEST = 0.8, 0.02
# Width over which the bias is smoothed, in face units, and its growth with the gap; and how many measurements the prior
# of no bias weighs as much as.
_WIDTH, _GROWTH, _PRIOR = 0.02, 0.1, 0.6
# Distance from the portrait's own gap over which the correction comes in: at rest the frame is the portrait.
_OWN = 0.03


@dataclass(frozen=True, eq=False)
class LipCalibration:
    """Which gap between the lips to draw for a gap that shall be seen, both in the middle of the mouth in face units.

    Attributes:
        wanted: (N,) increasing gaps.
        drawn: (N,) gaps to draw for them, non-decreasing.
    """

    wanted: Array
    drawn: Array

    def scale(self, gap: Array, own: float) -> Array:
        """Factor of the gaps (T,), 1 at the portrait's own gap."""
        inside = np.clip(gap, self.wanted[0], self.wanted[-1])
        change = np.interp(inside, self.wanted, self.drawn) - inside
        change *= _smooth(np.abs(gap - own) / _OWN)
        return np.where(gap > 1e-6, 1.0 + change / np.maximum(gap, 1e-6), 1.0)


def fit_calibration(drawn: Array, seen: Array, trust: float = 1.0) -> LipCalibration:
    """Smooth the bias of measured gaps, and invert it.

    Args:
        drawn: (N,) gaps as drawn.
        seen: (N,) the same gaps as tracked.
        trust: Share of the correction that is made, from 0 to 1.
    """
    grid = np.linspace(0.0, 0.35, 71)
    weights = np.exp(-0.5 * ((grid[:, None] - drawn) / (_WIDTH + _GROWTH * grid[:, None])) ** 2)  # (71, N)
    bias = trust * _SHARE * (weights @ (seen - drawn)) / (weights.sum(axis=1) + _PRIOR)
    appears = np.maximum.accumulate(np.maximum(grid + np.clip(bias, -_LARGEST, _LARGEST), 0.0))
    levels, places = np.unique(appears, return_index=True)
    draw = np.interp(grid, levels, grid[places])
    # A gap smaller than closed lips are seen with is closed.
    return LipCalibration(grid, np.where(grid <= appears[0], 0.0, draw))


def trust_in(fit: FaceCoefficients) -> float:
    """How far the bias measured on a portrait holds for its other frames, from 0 to 1.

    It is 1 for a head turned by at most 8 degrees in a crop of at least 160 pixels, and 0 beyond 20 degrees or below
    100 pixels.
    """
    turned = abs(float(np.degrees(fit.rotation[0, 1])))
    straight = float(_smooth((_TURNED - turned) / (_TURNED - _STRAIGHT)))
    return straight * float(_smooth((_side(fit) - _SMALL) / (_LARGE - _SMALL)))


def calibrate_lips(
    portrait: Portrait, model: MorphableModel, *, tracker: FaceTracker | None = None
) -> LipCalibration | None:
    """Render the portrait with its mouth opened step by step, and track the frames.

    Args:
        portrait: The portrait; its background does not matter.
        model: The face model of its coefficients.
        tracker: Face tracker; None for the built-in models.

    Returns:
        The calibration, or None if it cannot be trusted on this portrait, or if the tracker loses the face in a frame.
    """
    trust = trust_in(portrait.fit)
    if trust == 0.0:
        return None
    small, points, fit = _reduced(portrait)
    motion = PortraitMotion(points, fit, model)
    expression = openings(model, motion)
    still = [np.repeat(part, len(expression), axis=0) for part in (fit.rotation, fit.translation)]
    coefficients = fit.with_(expression=expression, rotation=still[0], translation=still[1])
    frames = MeshRenderer(small, fit, points, model).render(coefficients)
    track = (tracker or open_tracker()).track(frame for frame in frames for _ in range(SETTLING_PASSES))
    if not track.found.all():
        return None
    moved, _ = motion.displacements(expression)
    placed = np.stack([motion.camera.project(motion.vertices + one) for one in moved])
    seen = track.points[SETTLING_PASSES - 1 :: SETTLING_PASSES]
    scale = motion.camera.scale
    return fit_calibration(_gap(placed) / scale, _gap(seen.astype(np.float64)) / scale, trust)


def openings(model: MorphableModel, motion: PortraitMotion) -> NDArray[np.float32]:
    """Expressions (N, E) that open the model's lips to each of the `GAPS` at each of the `WIDTHS`.

    They are the smallest changes of the coefficients, by which a mouth also widens as it opens.
    """
    basis = model.expression_basis.double().numpy()
    opens = basis[_INNER_LIPS[0], 1] - basis[_INNER_LIPS[1], 1]  # (E,)
    widens = basis[_CORNERS[0], 0] - basis[_CORNERS[1], 0]
    widens -= opens * (widens @ opens) / (opens @ opens)  # at the same gap
    change = np.array([(gap - motion.lips.model_gap, width) for width in WIDTHS for gap in GAPS])  # (N, 2)
    directions = np.stack([opens / (opens @ opens), widens / (widens @ widens)])
    return (motion.first_expression + change @ directions).astype(np.float32)


def _reduced(portrait: Portrait) -> tuple[NDArray[np.uint8], NDArray[np.float32], FaceCoefficients]:
    """The portrait with its face at the size at which it is tracked: pixels, points and fit."""
    factor = min(_SIDE / _side(portrait.fit), 1.0)
    height, width = (max(round(factor * side), 1) for side in portrait.image.shape[:2])
    image = Image.fromarray(portrait.image).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    fit = portrait.fit.with_(crop=_crop(portrait.fit) * factor)
    return np.asarray(image), portrait.points * np.float32(factor), fit


def _crop(fit: FaceCoefficients) -> NDArray:
    assert fit.crop is not None
    return np.atleast_2d(fit.crop)[0]


def _side(fit: FaceCoefficients) -> float:
    return float(_crop(fit)[2])


def _smooth(share: Array | float) -> Array:
    share = np.clip(share, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _gap(points: Array) -> Array:
    """Distance of the inner lips in the image (T,), of points (T, V, 3)."""
    return np.linalg.norm(points[:, _INNER_LIPS[0], :2] - points[:, _INNER_LIPS[1], :2], axis=-1)
