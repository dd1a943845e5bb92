"""Lip closure, drift and the log-energy jaw, on motion with known scores."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from expnet.audio.speech_synthesis import Phoneme
from expnet.evaluation.store.bilabials import bilabial_windows
from expnet.evaluation.store.clips import Clip
from expnet.face.measures import expression_for
from expnet.face.morphable import builtin_face_model
from expnet.metrics.functional import lip_closure
from shared.log_energy_jaw import fit_log_energy_jaw, frame_energy
from shared.motion_scoring import COLUMNS, STILL_POINTS, MotionScorer, drifts
from tests.training.small import make_track

FRAMES = 60
ALL, NONE = torch.ones(FRAMES, dtype=torch.bool), torch.zeros(FRAMES, dtype=torch.bool)


def mouth(*shut: int) -> torch.Tensor:
    """Openings of a mouth that is half open, once wide open, and shut for two frames at each of the given places."""
    opening = torch.full((FRAMES,), 0.1)
    opening[-6:] = 0.2
    for frame in shut:
        opening[frame : frame + 2] = 0.0
    return opening


def test_bilabials_are_found_with_a_margin() -> None:
    spoken = [Phoneme("a", 0.0, 0.4), Phoneme("m", 0.4, 0.48), Phoneme("b", 0.48, 0.52), Phoneme("pʰ", 2.3, 2.4)]
    assert bilabial_windows(spoken, FRAMES) == (slice(9, 14), slice(56, 60))


def test_closures_are_counted_against_the_real_ones() -> None:
    windows = (slice(9, 13), slice(29, 33), slice(44, 48))
    real, predicted = mouth(10, 30, 45), mouth(10, 20)
    found = lip_closure(predicted, real, windows, valid=ALL, silent=NONE)
    assert (found.recall, found.real_closures, found.bilabials) == (pytest.approx(1 / 3), 3, 3)
    assert found.precision == pytest.approx(1 / 2)  # the real mouth has no closure at frame 20
    assert found.opening == pytest.approx((0 + 0.5 + 0.5) / 3, abs=0.02)
    itself = lip_closure(real, real, windows, valid=ALL, silent=NONE)
    assert (itself.recall, itself.precision, round(itself.opening, 6)) == (1, 1, 0)


def test_a_mouth_that_rests_shut_closes_nothing() -> None:
    shut = torch.zeros(FRAMES)
    found = lip_closure(shut, mouth(10, 30), (slice(9, 13),), valid=ALL, silent=NONE)
    assert found.opening == pytest.approx(0)
    assert found.recall == 0
    assert math.isnan(found.precision)


def test_untracked_and_still_clips_count_nothing() -> None:
    lost = ALL.clone()
    lost[10] = False
    found = lip_closure(mouth(10), mouth(10, 30), (slice(9, 13),), valid=lost, silent=NONE)
    assert (found.bilabials, found.real_closures) == (0, 0)
    still = lip_closure(mouth(10), torch.full((FRAMES,), 0.1), (slice(9, 13),), valid=ALL, silent=NONE)
    assert still.speech_frames == 0


def test_drift_is_measured_in_eye_distances() -> None:
    landmarks = torch.rand(100, 68, 3)[:1].repeat(100, 1, 1)
    landmarks[:, 36], landmarks[:, 45] = torch.tensor([0.0, 0, 0]), torch.tensor([2.0, 0, 0])
    first, valid = landmarks[0].clone(), torch.ones(100, dtype=torch.bool)
    assert drifts(landmarks, first, valid) == pytest.approx((0, 0), abs=1e-4)
    moved = landmarks.clone()
    moved[50:, list(STILL_POINTS), 1] += 0.02
    identity, style = drifts(moved, first, valid)
    assert identity == pytest.approx(1.0, rel=1e-4)  # .02 of an eye distance of 2
    assert style == pytest.approx(len(STILL_POINTS) / 68, rel=1e-4)


def clip(seed: int = 0) -> Clip:
    track = make_track(seed, FRAMES, "")
    return Clip(track, 0.3, track.clip_id)


def test_every_column_is_scored() -> None:
    scorer, real = MotionScorer(builtin_face_model()), clip()
    scores = scorer.score(real, real.expression, [Phoneme("b", 0.5, 0.6)])
    assert set(scores.values) == {column.key for column in COLUMNS}
    assert scores.values["mouth_opening_correlation"] == pytest.approx(1)
    assert scores.values["landmark_distance_percent"] == 0
    assert scores.values["opening_deviation_ratio"] == scores.values["brow_motion_ratio"] == 1
    mean = real.expression.mean(0)
    half = scorer.score(real, mean + (real.expression - mean) / 2)
    assert half.values["brow_motion_ratio"] == pytest.approx(0.5, rel=1e-3)  # landmarks are linear in the expression
    held = scorer.score(real, real.expression[:1].expand_as(real.expression))
    assert held.values["within_clip_r2"] == pytest.approx(0)
    assert held.weights["lip_closure_opening"] == 0


@pytest.mark.parametrize("delay", [-1, 2])
def test_the_jaw_finds_its_slope_and_delay(delay: int) -> None:
    face = builtin_face_model()
    opening = expression_for(face, {"mouth_opening": 0.1}) / 0.1
    clips = []
    for seed in range(3):
        track = make_track(seed, FRAMES, "")
        energy = frame_energy(track.audio)[(torch.arange(FRAMES) - delay).clamp(0, FRAMES - 1)]
        motion = 0.004 * (energy - energy.min()).float()[:, None] * opening  # from the mean face, which is not shut
        coefficients = dataclasses.replace(track.coefficients, expression=motion.numpy())
        clips.append(Clip(dataclasses.replace(track, coefficients=coefficients), 0.3, track.clip_id))
    jaw = fit_log_energy_jaw(clips, face)
    assert jaw.delay == delay
    assert jaw.slope == pytest.approx(0.004, rel=0.15)
    predicted = jaw.predict(clips[0]).expression
    np.testing.assert_array_equal(predicted[0], clips[0].expression[0])
    assert MotionScorer(face).score(clips[0], predicted).values["mouth_opening_correlation"] > 0.98
    with pytest.raises(ValueError, match="at least one"):
        fit_log_energy_jaw([], face)
