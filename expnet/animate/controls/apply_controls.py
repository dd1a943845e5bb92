"""Applies every control of motion to what the networks predict, in order."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.animate.controls.blinks import BLINKS_PER_MINUTE, blink_track
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.emotion import add_emotion
from expnet.animate.controls.fade import fade_in
from expnet.animate.controls.motion_scale import identity_of, scale_lips
from expnet.animate.controls.reference_video import ReferenceMotion, transfer_expression
from expnet.coefficients import DEFAULT_FPS, FaceCoefficients
from expnet.face.emotions import EMOTION_TABLE, Emotion
from expnet.face.facial_features import FeatureSpace, feature_space
from expnet.face.morphable import MorphableModel
from expnet.models.pose_motion import within_reach

Array = NDArray[np.float64]

FADE_SECONDS = 0.24
"""Duration of the transition from the portrait's own expression and pose to the motion."""
# Translations beyond about twice these face units are bent back; heads of tracked clips go about that far.
_TRANSLATION_SPREAD = torch.tensor([0.0, 0.0, 0.0, 0.12, 0.08, 0.3])


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of a portrait.

    Attributes:
        coefficients: Coefficients of T frames, in the portrait's own camera.
        blink: Closure of the eyelids (T,) on top of the expression, from 0, none, to 1, closed.
    """

    coefficients: FaceCoefficients
    blink: NDArray[np.float32]

    def resampled(self, fps: float) -> "Motion":
        """Return the same motion at another frame rate; see `FaceCoefficients.resampled`."""
        coefficients = self.coefficients.resampled(fps)
        times = np.arange(coefficients.frames) * (self.coefficients.fps / fps)
        blink = np.interp(times, np.arange(len(self.blink)), self.blink).astype(np.float32)
        return Motion(coefficients, blink)


def blinks_for(frames: int, controls: Controls, reference: ReferenceMotion | None) -> NDArray[np.float32]:
    """Return eyelid closure (T,) at 25 frames/s: the reference's, or blinks drawn at the chosen or natural rate."""
    if reference is not None and controls.takes("blink"):
        return reference.closure
    if controls.blink == "none":
        return np.zeros(frames, np.float32)
    natural = BLINKS_PER_MINUTE / _emotion(controls).blinking
    rate = natural if controls.blink == "auto" else float(controls.blink)
    return blink_track(frames, seed=controls.seed, rate=rate)


def apply_controls(
    model: MorphableModel,
    fit: FaceCoefficients,
    expression: NDArray,
    relative_pose: NDArray,
    blink: NDArray[np.float32],
    controls: Controls,
    reference: ReferenceMotion | None = None,
    *,
    first: int = 0,
) -> Motion:
    """Apply the controls to a motion at 25 frames/s.

    Args:
        model: Face model.
        fit: Coefficients of the portrait, one frame.
        expression: Expression (T, 64) of speech, already scaled, or of idle motion.
        relative_pose: Head pose (T, 6) relative to the portrait's.
        blink: Closure of the eyelids (T,) from :func:`blinks_for`.
        controls: Controls to apply.
        reference: Motion of the reference video, T frames, if there is one.
        first: Number of the first of these frames, in a motion that is computed piece by piece.

    Returns:
        The motion at the controls' frame rate. Its first frame is the portrait.
    """
    frames = len(expression)
    fade = fade_in(frames, FADE_SECONDS, first)[:, None]
    face = _expression(feature_space(model), fit, np.asarray(expression, np.float64), controls, reference)
    pose = _relative_pose(fit, np.asarray(relative_pose, np.float64), controls, reference)
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


def _expression(
    space: FeatureSpace,
    fit: FaceCoefficients,
    spoken: Array,
    controls: Controls,
    reference: ReferenceMotion | None,
) -> Array:
    """Return the expression (T, 64) before it is faded in."""
    identity = identity_of(fit)
    if reference is not None and controls.takes("expression"):
        spoken = transfer_expression(space, identity, spoken, reference.coefficients)
    face = scale_lips(space, identity, spoken, controls.lip_scale)
    return add_emotion(space, identity, face, _emotion(controls))


def _relative_pose(
    fit: FaceCoefficients, predicted: Array, controls: Controls, reference: ReferenceMotion | None
) -> Array:
    """Return the pose (T, 6) relative to the portrait's before it is faded in."""
    if controls.still:
        return np.zeros_like(predicted)
    emotion = _emotion(controls)
    scale = controls.head_scale * emotion.liveliness
    borrowed = reference is not None and controls.takes("head")
    if reference is not None and borrowed:
        predicted = reference.coefficients.relative_pose().astype(np.float64)
    pose = scale * predicted
    pose[:, 0] += min(controls.head_scale, 1.0) * emotion.nose_down
    if borrowed or scale > 1.0:
        # The network draws poses that can be rendered; poses that are amplified or borrowed may lie outside.
        first = torch.from_numpy(fit.pose[:1].astype(np.float64))
        pose = within_reach(torch.from_numpy(pose)[None], first, _TRANSLATION_SPREAD.double())[0].numpy()
    return pose
