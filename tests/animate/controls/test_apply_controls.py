"""The effect of each motion control, measured on the coefficients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expnet.animate.animator import Animator
from expnet.animate.controls.apply_controls import Motion, apply_controls, blinks_for
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.emotion import add_emotion
from expnet.animate.controls.idle import idle_expression, idle_head
from expnet.animate.controls.motion_scale import LIP_FEATURES, scale_lips
from expnet.animate.controls.reference_video import (
    LID_FEATURES,
    ReferenceMotion,
    measure_lid_closure,
    transfer_expression,
)
from expnet.coefficients import FaceCoefficients
from expnet.face.emotions import EMOTION_TABLE, EMOTIONS
from expnet.face.facial_features import FEATURES, FeatureSpace, feature_space
from expnet.face.landmarks import LEFT_EYE, RIGHT_EYE
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import LandmarkTrack
from expnet.render.lips import CLOSED_GAP
from expnet.render.portrait import Portrait

FRAMES = 100


@pytest.fixture(scope="module")
def space(model: MorphableModel) -> FeatureSpace:
    return feature_space(model)


@pytest.fixture(scope="module")
def identity(model: MorphableModel) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.3, model.identity_size)


@pytest.fixture(scope="module")
def spoken(space: FeatureSpace, identity: np.ndarray) -> np.ndarray:
    """Expression (T, 64) of lips that open and meet again, with some motion of the whole face."""
    time = np.arange(FRAMES) / 25
    closed = CLOSED_GAP / space.face_unit
    rest = space.at_rest(identity)
    features = {
        "lip_gap": closed + 0.15 * np.maximum(np.sin(2 * np.pi * 2 * time), 0.0),
        "mouth_width": rest["mouth_width"] + 0.03 * np.cos(2 * np.pi * time),
        "inner_brows": rest["inner_brows"] + 0.01 * np.sin(time),
    }
    return space.expression_for(identity, features)


def fit_of(expression: np.ndarray, identity: np.ndarray) -> FaceCoefficients:
    return FaceCoefficients(
        expression=expression, rotation=np.zeros((1, 3)), translation=np.zeros((1, 3)), identity=identity,
        crop=np.array([128.0, 128.0, 200.0]),
    )  # fmt: skip


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_lips_are_scaled_from_closed_and_nothing_else_moves(
    space: FeatureSpace, identity: np.ndarray, spoken: np.ndarray, scale: float
) -> None:
    closed = CLOSED_GAP / space.face_unit
    before = space.measured(identity, spoken)
    after = space.measured(identity, scale_lips(space, identity, spoken, scale))
    assert np.allclose(after["lip_gap"] - closed, scale * (before["lip_gap"] - closed), atol=1e-6)
    for name in set(FEATURES) - set(LIP_FEATURES):
        assert np.allclose(after[name], before[name], atol=1e-6), name
    assert np.ptp(after["mouth_width"]) == pytest.approx(scale * np.ptp(before["mouth_width"]), abs=0.02)


@pytest.mark.parametrize("name", [name for name in EMOTIONS if name != "neutral"])
@pytest.mark.parametrize("level", [1, 3])
def test_an_emotion_is_visible_and_the_lips_keep_speaking(
    space: FeatureSpace, identity: np.ndarray, spoken: np.ndarray, name: str, level: int
) -> None:
    emotion = EMOTION_TABLE[name].at(level)
    before = space.measured(identity, spoken)
    after = space.measured(identity, add_emotion(space, identity, spoken, emotion))
    assert np.corrcoef(before["lip_gap"], after["lip_gap"])[0, 1] > 0.999
    closed = before["lip_gap"] < CLOSED_GAP / space.face_unit + 1e-6
    assert closed.sum() > 30
    assert np.allclose(after["lip_gap"][closed], before["lip_gap"][closed], atol=1e-6)
    for feature in ("corners_up", "inner_brows", "outer_brows", "corners_uneven"):
        offset = emotion.features.get(feature, 0.0)
        assert after[feature][-1] - before[feature][-1] == pytest.approx(offset, abs=1e-6), feature
        assert after[feature][0] == pytest.approx(before[feature][0], abs=1e-6)


def test_an_emotion_reaches_the_video(animator: Animator, portrait: Portrait, sound: np.ndarray) -> None:
    def corners(**controls: object) -> float:
        motion = animator.motion(portrait, sound, controls=Controls(**controls))
        space = feature_space(animator.face_model)
        return float(space.measured(portrait.fit.identity, motion.coefficients.expression)["corners_up"][25:].mean())

    neutral, glad, gladder, sad = (
        corners(**given)
        for given in ({}, {"emotion": "happy", "level": 1}, {"emotion": "happy", "level": 3}, {"emotion": "sad"})
    )
    assert sad < neutral < glad < gladder


def test_still_and_head_scale(animator: Animator, portrait: Portrait, sound: np.ndarray) -> None:
    once, twice, still = (
        animator.motion(portrait, sound, controls=controls).coefficients
        for controls in (Controls(head_scale=0.5), Controls(), Controls(still=True, emotion="angry"))
    )
    assert np.allclose(2 * once.relative_pose(), twice.relative_pose(), atol=1e-5)
    assert np.ptp(twice.pose, axis=0).max() > 0
    assert np.ptp(still.pose, axis=0).max() == 0
    assert np.ptp(still.expression, axis=0).max() > 0


def test_an_amplified_head_motion_can_still_be_rendered(
    model: MorphableModel, spoken: np.ndarray, identity: np.ndarray
) -> None:
    fit = fit_of(spoken[:1], identity)
    turned = np.zeros((FRAMES, 6))
    turned[:, 1] = 0.35 * np.sin(np.arange(FRAMES) / 10)
    far = apply_controls(model, fit, spoken, turned, np.zeros(FRAMES, np.float32), Controls(head_scale=5.0))
    assert 0.35 < np.abs(far.coefficients.rotation).max() <= 0.4


def test_every_control_starts_at_the_portrait(animator: Animator, portrait: Portrait, sound: np.ndarray) -> None:
    loud = Controls(emotion="surprised", level=3, lip_scale=3.0, head_scale=3.0, expression_scale=3.0, fps=30.0)
    for motion in (animator.motion(portrait, sound, controls=loud), animator.motion(portrait, None, 50, controls=loud)):
        assert np.array_equal(motion.coefficients.expression[0], portrait.fit.expression[0])
        assert np.array_equal(motion.coefficients.pose[0], portrait.fit.pose[0])
        assert motion.blink[0] == 0


@pytest.mark.parametrize("rate", [6.0, 17.0, 30.0, 55.0])
def test_blinks_have_the_chosen_rate(rate: float) -> None:
    track = np.concatenate([blinks_for(25 * 600, Controls(blink=rate, seed=seed), None) for seed in range(3)])
    starts = int(((track[1:] > 0.5) & (track[:-1] <= 0.5)).sum())
    assert starts / 30 == pytest.approx(rate, rel=0.15)


def test_no_blinks_and_those_of_an_emotion() -> None:
    assert blinks_for(5000, Controls(blink="none"), None).max() == 0
    natural, afraid = (blinks_for(25 * 600, Controls(emotion=name), None) for name in ("neutral", "fear"))
    assert afraid.mean() > 1.1 * natural.mean()  # fear makes people blink more


def test_idle_motion_closes_the_lips_breathes_and_moves(model: MorphableModel, identity: np.ndarray) -> None:
    space = feature_space(model)
    rest = space.at_rest(identity)
    smiling = space.expression_for(identity, {"lip_gap": np.array([0.2]), "corners_up": np.array([rest["corners_up"]])})
    fit = fit_of(smiling, identity)
    expression = idle_expression(model, fit, 750, seed=0)
    gap = space.measured(identity, expression)["lip_gap"]
    assert gap[0] == pytest.approx(0.2, abs=1e-6)
    assert np.abs(gap[20:] - CLOSED_GAP / space.face_unit).max() < 1e-5
    pose = idle_head(750, seed=0)
    assert pose[0].tolist() == [0.0] * 6
    assert 0.01 < np.abs(pose[:, :3]).max() < 0.2
    spectrum = np.abs(np.fft.rfft(pose[20:720, 4] - pose[20:720, 4].mean()))  # 28 s
    assert 0.15 < np.fft.rfftfreq(700, 0.04)[spectrum[3:].argmax() + 3] < 0.35  # breaths per second
    assert not np.array_equal(pose, idle_head(750, seed=1))
    assert np.array_equal(pose, idle_head(750, seed=0))


def reference(frames: int, expression: np.ndarray) -> ReferenceMotion:
    pose = np.zeros((frames, 6))
    pose[:, 0] = 0.5  # a clip that always looks down: only its changes count
    pose[:, 1] = 0.1 * np.sin(np.arange(frames) / 5)
    coefficients = fit_of(expression[:1], np.zeros(4)).with_(
        expression=expression, rotation=pose[:, :3], translation=pose[:, 3:]
    )
    return ReferenceMotion(coefficients, (np.arange(frames) % 20 == 3).astype(np.float32))


def test_a_reference_provides_the_chosen_parts(
    model: MorphableModel, space: FeatureSpace, spoken: np.ndarray, identity: np.ndarray
) -> None:
    rest = space.at_rest(identity)
    frowning = space.expression_for(
        identity,
        {"inner_brows": np.full(FRAMES, rest["inner_brows"] - 0.03), "lip_gap": np.linspace(0.0, 0.4, FRAMES)},
    )
    clip = reference(FRAMES, frowning)
    fit, still = fit_of(spoken[:1], identity), np.zeros((FRAMES, 6))

    def motion(*parts: str) -> Motion:
        controls = Controls(reference_video="clip.mp4", reference_parts=parts)
        return apply_controls(model, fit, spoken, still, blinks_for(FRAMES, controls, clip), controls, clip)

    plain, head, blink, face = motion("blink"), motion("head"), motion("blink"), motion("expression")
    assert np.abs(plain.coefficients.pose).max() == 0
    assert np.allclose(head.coefficients.rotation[10:, 1], clip.coefficients.rotation[10:, 1], atol=1e-3)
    assert np.abs(head.coefficients.rotation[:, 0]).max() < 1e-6
    assert np.array_equal(blink.blink, clip.closure)
    assert not np.array_equal(head.blink, clip.closure)
    own, with_face = (space.measured(identity, one.coefficients.expression.astype(float)) for one in (plain, face))
    for name in (*LIP_FEATURES, *LID_FEATURES):
        assert np.allclose(own[name], with_face[name], atol=1e-4), name  # lips and eyelids follow the speech
    assert (with_face["inner_brows"][10:] < own["inner_brows"][10:] - 0.02).all()


def test_the_parts_of_two_faces_are_kept_apart(space: FeatureSpace, identity: np.ndarray, spoken: np.ndarray) -> None:
    other = np.random.default_rng(0).normal(size=spoken.shape)
    taken = transfer_expression(space, identity, spoken, reference(FRAMES, other).coefficients)
    assert np.allclose(space.without_features(taken), space.without_features(other), atol=1e-5)


def test_a_short_reference_is_repeated_forwards_and_backwards(spoken: np.ndarray) -> None:
    clip = reference(10, spoken[:10])
    long = clip.fit_length(40)
    assert len(long.closure) == long.coefficients.frames == 40
    step = np.abs(np.diff(clip.coefficients.rotation[:, 1])).max()
    assert np.abs(np.diff(long.coefficients.rotation[:, 1])).max() <= step + 1e-7
    assert np.array_equal(clip.fit_length(4).coefficients.expression, spoken[:4].astype(np.float32))
    assert len(reference(1, spoken[:1]).fit_length(5).closure) == 5


def test_closed_eyes_are_measured_in_a_clip() -> None:
    points = np.zeros((60, 478, 3), np.float32)
    track = LandmarkTrack(points, np.ones(60, np.bool_), (100, 100))
    landmarks = np.zeros((60, 68, 2), np.float32)
    shut = np.zeros(60)
    shut[[20, 21, 40]] = 1.0
    for eye, middle in ((RIGHT_EYE, 30.0), (LEFT_EYE, 70.0)):
        height = 6.0 * (1.0 - 0.85 * shut)
        for corner, x in ((0, -10.0), (3, 10.0)):
            landmarks[:, eye[corner], 0] = middle + x
        for index, sign in ((1, -0.5), (2, -0.5), (4, 0.5), (5, 0.5)):
            landmarks[:, eye[index], 0] = middle + (4 if index in (2, 4) else -4)
            landmarks[:, eye[index], 1] = sign * height

    class Known(LandmarkTrack):
        landmarks = property(lambda self: landmarks)

    closure = measure_lid_closure(Known(track.points, track.found, track.frame_size))
    assert closure[shut > 0].min() > 0.95
    assert closure[shut == 0].max() == 0.0


def test_another_frame_rate_is_the_same_motion(animator: Animator, portrait: Portrait, sound: np.ndarray) -> None:
    usual, fast = (animator.motion(portrait, sound, controls=Controls(fps=fps, blink=40.0)) for fps in (25.0, 50.0))
    assert (usual.coefficients.frames, fast.coefficients.frames) == (100, 200)
    assert len(fast.blink) == 200
    assert fast.coefficients.fps == 50.0
    assert np.allclose(fast.coefficients.expression[::2], usual.coefficients.expression, atol=1e-6)
    assert np.allclose(fast.blink[::2], usual.blink, atol=1e-6)


def test_a_seed_changes_the_head_and_not_the_lips(animator: Animator, portrait: Portrait, sound: np.ndarray) -> None:
    one, again, other = (
        animator.motion(portrait, sound, controls=Controls(seed=seed)).coefficients for seed in (1, 1, 2)
    )
    assert one.equals(again)
    assert not np.array_equal(one.rotation, other.rotation)
    assert np.allclose(one.expression, other.expression)
    assert torch.is_tensor(animator.head_style(2))
