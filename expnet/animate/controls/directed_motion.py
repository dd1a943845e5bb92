"""From what the networks say to how the portrait moves: every control of motion, in order, top down."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.animate.controls.blinks import BLINKS_PER_MINUTE, blink_track
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.emotion import add_emotion, rise
from expnet.animate.controls.motion_scale import identity_of, scale_lips
from expnet.animate.controls.reference_video import ReferenceMotion, take_expression
from expnet.coefficients import DEFAULT_FPS, FaceCoefficients
from expnet.face.emotions import EMOTION_TABLE, Emotion
from expnet.face.facial_features import FeatureSpace, feature_space
from expnet.face.morphable import MorphableModel
from expnet.models.pose_motion import within_reach

Array = NDArray[np.float64]

FADE_SECONDS = 0.24
"""Over which motion takes over from the portrait's own expression and pose."""
# Translations of more than about twice these face units are bent back: about what heads of tracked clips do.
_TRANSLATION_SPREAD = torch.tensor([0.0, 0.0, 0.0, 0.12, 0.08, 0.3])


@dataclass(frozen=True, eq=False)
class Motion:
    """How a portrait moves.

    Attributes:
        coefficients: T frames, in the portrait's own camera.
        blink: (T,) closure of the lids on top of the expression, 0 none to 1 shut.
    """

    coefficients: FaceCoefficients
    blink: NDArray[np.float32]

    def resampled(self, fps: float) -> "Motion":
        """The same motion at another frame rate; see `FaceCoefficients.resampled`."""
        coefficients = self.coefficients.resampled(fps)
        times = np.arange(coefficients.frames) * (self.coefficients.fps / fps)
        blink = np.interp(times, np.arange(len(self.blink)), self.blink).astype(np.float32)
        return Motion(coefficients, blink)


def blinking(frames: int, controls: Controls, reference: ReferenceMotion | None) -> NDArray[np.float32]:
    """Closure of the lids at 25 frames/s, (T,): the reference's, or drawn at the chosen or a natural rate."""
    if reference is not None and controls.takes("blink"):
        return reference.closure
    if controls.blink == "none":
        return np.zeros(frames, np.float32)
    natural = BLINKS_PER_MINUTE / _emotion(controls).blinking
    rate = natural if controls.blink == "auto" else float(controls.blink)
    return blink_track(frames, seed=controls.seed, rate=rate)


def direct(
    model: MorphableModel,
    fit: FaceCoefficients,
    expression: NDArray,
    turned: NDArray,
    blink: NDArray[np.float32],
    controls: Controls,
    reference: ReferenceMotion | None = None,
    *,
    first: int = 0,
) -> Motion:
    """Apply the controls to a motion at 25 frames/s.

    Args:
        model: the face model.
        fit: the portrait's coefficients, one frame.
        expression: (T, 64) spoken, at its scale, or idle.
        turned: (T, 6) pose relative to the portrait's.
        blink: (T,) of :func:`blinking`.
        controls: what is wanted.
        reference: of the same T frames, where there is one.
        first: number of the first of these frames, in a motion that comes piece by piece.

    Returns:
        The motion at the controls' frame rate, its first frame the portrait.
    """
    frames = len(expression)
    fade = rise(frames, FADE_SECONDS, first)[:, None]
    face = _face(feature_space(model), fit, np.asarray(expression, np.float64), controls, reference)
    pose = _head(fit, np.asarray(turned, np.float64), controls, reference)
    coefficients = FaceCoefficients(
        expression=fit.expression + fade * (face - fit.expression),
        rotation=np.repeat(fit.rotation, frames, axis=0),
        translation=np.repeat(fit.translation, frames, axis=0),
        identity=fit.identity,
        crop=fit.crop,
        fps=DEFAULT_FPS,
        face_model=fit.face_model,
    )
    return Motion(coefficients.with_relative_pose(fade * pose), blink).resampled(controls.fps)


def _emotion(controls: Controls) -> Emotion:
    return EMOTION_TABLE[controls.emotion].at(controls.level)


def _face(
    space: FeatureSpace,
    fit: FaceCoefficients,
    spoken: Array,
    controls: Controls,
    reference: ReferenceMotion | None,
) -> Array:
    """The expression (T, 64), before it is faded in."""
    identity = identity_of(fit)
    if reference is not None and controls.takes("expression"):
        spoken = take_expression(space, identity, spoken, reference.coefficients)
    face = scale_lips(space, identity, spoken, controls.lip_scale)
    return add_emotion(space, identity, face, _emotion(controls))


def _head(fit: FaceCoefficients, turned: Array, controls: Controls, reference: ReferenceMotion | None) -> Array:
    """The pose relative to the portrait's (T, 6), before it is faded in."""
    if controls.still:
        return np.zeros_like(turned)
    emotion = _emotion(controls)
    scale = controls.head_scale * emotion.liveliness
    borrowed = reference is not None and controls.takes("head")
    if reference is not None and borrowed:
        turned = reference.coefficients.relative_pose().astype(np.float64)
    pose = scale * turned
    pose[:, 0] += min(controls.head_scale, 1.0) * emotion.nose_down
    if borrowed or scale > 1.0:
        # What the network draws lies within what can be rendered; what is scaled up or borrowed may not.
        first = torch.from_numpy(fit.pose[:1].astype(np.float64))
        pose = within_reach(torch.from_numpy(pose)[None], first, _TRANSLATION_SPREAD.double())[0].numpy()
    return pose
