"""From an utterance to a track like that of a real clip: the motion of a speaker's face and head."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.speech_synthesis import Phoneme
from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track
from expnet.data.synthetic.coarticulation import articulate
from expnet.data.synthetic.head_gestures import blinks, brow_raises, head_motion, loudness
from expnet.data.synthetic.speakers import SyntheticSpeaker
from expnet.data.synthetic.visemes import ARTICULATORS
from expnet.face.camera import project
from expnet.face.emotions import EMOTION_TABLE, Emotion
from expnet.face.facial_features import FeatureSpace, feature_space
from expnet.face.morphable import MorphableModel, builtin_face_model
from expnet.face.smooth_noise import draw_smooth_noise

Array = NDArray[np.float64]

CORPUS = "synthetic"
FRAME_SIZE = (256, 256)

_CLOSED_GAP = 0.004  # inner-lip gap of tracked lips that touch, measured on real clips
_LIDS_SHUT = 0.85  # a blink takes this share of the distance between the eyelids
_SMALLEST_LIDS = 0.035
_RESIDUAL_MOTION = 0.50  # slow motion that changes no feature, in standard deviations of the coefficients
_TRACKER_NOISE = 0.20  # the same, independent from frame to frame

# Motion unrelated to speech: standard deviations of smooth noise over about 0.3 s and of tracker noise. The gap between
# the lips has none, so that closed lips stay closed.
_IDLE = {
    "mouth_width": (0.0120, 0.0055),
    "upper_lip": (0.0060, 0.0026),
    "lower_lip": (0.0060, 0.0020),
    "upper_lip_forward": (0.0018, 0.0008),
    "lower_lip_forward": (0.0040, 0.0015),
    "corners_up": (0.0100, 0.0034),
    "corners_uneven": (0.0050, 0.0024),
    "chin": (0.0040, 0.0016),
    "inner_brows": (0.0095, 0.0034),
    "outer_brows": (0.0080, 0.0031),
    "brows_uneven": (0.0052, 0.0031),
    "lids_apart": (0.0055, 0.0032),
    "lids_uneven": (0.0045, 0.0034),
}


def utterance_track(
    audio: NDArray[np.float32],
    phonemes: Sequence[Phoneme],
    speaker: SyntheticSpeaker,
    *,
    random: np.random.Generator,
    clip_id: str,
    emotion: str = "neutral",
    level: int = 0,
    model: MorphableModel | None = None,
) -> Track:
    """Make a track of a speaker who says an utterance.

    Args:
        audio: (640 T,) samples; their number determines the number of frames.
        phonemes: Phonemes with times in seconds from the first sample.
        speaker: The speaker.
        random: Random generator.
        clip_id: Name of the clip.
        emotion: One of ``EMOTIONS``.
        level: Intensity of the emotion, 0 to 3.
        model: Face model; None for the built-in one.

    Returns:
        A valid track.
    """
    model = model or builtin_face_model()
    space = feature_space(model)
    frames = len(audio) // SAMPLES_PER_FRAME
    manner = EMOTION_TABLE[emotion].at(level)
    energy = loudness(audio, frames)
    expression = _expression(random, space, speaker, manner, phonemes, energy)
    rotation, translation = head_motion(random, speaker.head, phonemes, energy, liveliness=manner.liveliness)
    rotation[:, 0] += manner.nose_down
    crop = np.array([128.0, 128.0, 1.0]) + random.uniform([-8.0, -8.0, 150.0], [8.0, 8.0, 195.0])
    landmarks = _project(model, speaker.identity, expression, rotation, translation, crop)
    coefficients = FaceCoefficients(
        expression=expression.astype(np.float32),
        rotation=rotation.astype(np.float32),
        translation=translation.astype(np.float32),
        identity=speaker.identity.astype(np.float32),
        crop=crop,
        face_model=model.name,
    )
    return Track(
        clip_id=clip_id,
        speaker=speaker.name,
        coefficients=coefficients,
        landmarks=landmarks,
        valid=np.ones(frames, dtype=bool),
        audio=audio[: frames * SAMPLES_PER_FRAME],
        corpus=CORPUS,
        emotion=emotion,
        level=level,
        language=speaker.language,
        frame_size=FRAME_SIZE,
        phonemes=tuple(phonemes),
    ).validate()


def _expression(
    random: np.random.Generator,
    space: FeatureSpace,
    speaker: SyntheticSpeaker,
    manner: Emotion,
    phonemes: Sequence[Phoneme],
    energy: Array,
) -> Array:
    """Expression coefficients (T, 64)."""
    frames = len(energy)
    moves = articulate(phonemes, frames) * speaker.articulation  # (T, 6)
    # Louder speech opens the mouth wider, with some random variation.
    effort = (1.0 + 0.25 * (energy - 0.6)) * np.exp(0.12 * draw_smooth_noise(random, frames, 0.35)[:, 0])
    moves[:, :2] *= (manner.articulation * np.clip(effort, 0.6, 1.6))[:, None]
    features = _mouth(space, speaker, manner, dict(zip(ARTICULATORS, moves.T, strict=True)))
    raised = speaker.brow_height * brow_raises(random, phonemes, energy, share=speaker.brow_share)
    shut = blinks(random, phonemes, frames, interval=speaker.blink_interval * manner.blinking)
    rest = space.at_rest(speaker.identity)
    for name in ("inner_brows", "outer_brows", "brows_uneven", "lids_apart", "lids_uneven"):
        features[name] = np.full(frames, rest[name] + speaker.rest[name] + manner.features.get(name, 0.0))
    idle = draw_smooth_noise(random, frames, 0.3, len(_IDLE))
    jitter = random.normal(size=(frames, len(_IDLE)))
    for index, (name, (slow, fast)) in enumerate(_IDLE.items()):
        features[name] = features[name] + slow * idle[:, index] + fast * jitter[:, index]
    features["inner_brows"] = features["inner_brows"] + raised
    features["outer_brows"] = features["outer_brows"] + 0.8 * raised
    lids = np.maximum(features["lids_apart"] + 0.2 * raised, _SMALLEST_LIDS)
    features["lids_apart"] = lids * (1.0 - _LIDS_SHUT * shut)
    features["lids_uneven"] = features["lids_uneven"] * (1.0 - _LIDS_SHUT * shut)
    size = space.expression_response.shape[1]
    unseen = _RESIDUAL_MOTION * (
        0.8 * draw_smooth_noise(random, frames, 0.4, size) + 0.6 * draw_smooth_noise(random, frames, 0.08, size)
    )
    unseen += _TRACKER_NOISE * random.normal(size=(frames, size))
    return (
        space.expression_for(speaker.identity, features)
        + speaker.rest_expression
        + moves @ speaker.coupling.T
        + space.without_features(unseen)
    )


def _mouth(
    space: FeatureSpace, speaker: SyntheticSpeaker, manner: Emotion, moves: dict[str, Array]
) -> dict[str, Array]:
    """Compute the features of the mouth, (T,) each, from the articulators, (T,) each.

    How the other features change as the lips part (``with_gap``: for a gap of 1, the lower lip falls by about 0.6) was
    learned from real faces and belongs to the face model.
    """
    rest = space.at_rest(speaker.identity)
    gap = moves["opening"] + _CLOSED_GAP
    beyond = gap - rest["lip_gap"]
    spread, rounding, press, tuck = (moves[name] for name in ("spread", "rounding", "press", "tuck"))
    # Rounding the lips reduces a smile.
    held = {name: offset * (1.0 - 0.35 * rounding) for name, offset in manner.features.items()}

    def base(name: str) -> Array:
        return rest[name] + speaker.rest.get(name, 0.0) + held.get(name, np.zeros_like(gap))

    follow = {name: slope * beyond for name, slope in space.with_gap.items()}
    still = {name: base(name) for name in ("corners_up", "corners_uneven")}
    return {
        "lip_gap": gap,
        "mouth_width": base("mouth_width") + 0.05 * beyond + 0.055 * spread - 0.095 * rounding,
        "upper_lip": base("upper_lip") + follow["upper_lip"] - 0.005 * press + 0.004 * tuck,
        "lower_lip": base("lower_lip") + follow["lower_lip"] + 0.008 * press + 0.016 * tuck,
        "upper_lip_forward": base("upper_lip_forward")
        + follow["upper_lip_forward"]
        + 0.015 * rounding
        - 0.002 * spread,
        "lower_lip_forward": base("lower_lip_forward")
        + follow["lower_lip_forward"]
        + 0.019 * rounding
        - 0.016 * tuck
        - 0.004 * press,
        "corners_up": still["corners_up"] + follow["corners_up"] + 0.012 * spread - 0.008 * rounding,
        "corners_uneven": still["corners_uneven"] + speaker.uneven * (moves["opening"] + 0.02 * spread),
        "chin": base("chin") + follow["chin"] - moves["jaw"],
    }


def _project(
    model: MorphableModel, identity: Array, expression: Array, rotation: Array, translation: Array, crop: Array
) -> NDArray[np.float32]:
    """Project the 68 landmarks to pixels, (T, 68, 2)."""

    def tensor(value: Array) -> torch.Tensor:
        return torch.from_numpy(value.astype(np.float32))

    with torch.no_grad():
        points = model.landmarks(tensor(identity), tensor(expression))  # (T, 68, 3)
        pixels = project(points, tensor(rotation), tensor(translation), tensor(crop))
    return pixels.numpy()
