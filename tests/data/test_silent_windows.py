"""Silent runs: the speech is muted, the lips close, and nothing else changes."""

import numpy as np
import pytest
import torch

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.data.silent_windows import SHORTEST_RUN, SilentRun, SilentRuns, silence
from expnet.face.measures import signed_mouth_opening
from expnet.face.morphable import builtin_face_model

FRAMES = 64


@pytest.fixture(scope="module")
def runs() -> SilentRuns:
    return SilentRuns(builtin_face_model(), 0.5)


def tone(frames: int) -> np.ndarray:
    return (0.2 * np.sin(0.3 * np.arange(frames * SAMPLES_PER_FRAME))).astype(np.float32)


def power(samples: np.ndarray, first: int, end: int) -> float:
    return float(np.square(samples[first * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]).mean())


def test_share_and_place_of_the_runs(runs: SilentRuns) -> None:
    drawn = [runs.draw(FRAMES, np.random.default_rng(seed)) for seed in range(400)]
    present = [run for run in drawn if run is not None]
    assert 160 < len(present) < 240
    for run in present:
        assert 0 <= run.first < run.end <= FRAMES
        assert run.end - run.first >= SHORTEST_RUN
    assert any(run.first == 0 for run in present)
    assert any(run.end == FRAMES for run in present)
    assert any(run.first > 0 and run.end < FRAMES for run in present)
    assert runs.draw(SHORTEST_RUN, np.random.default_rng(0)) is None


def test_the_sound_is_muted_in_the_run_only() -> None:
    margin, generator = 6, np.random.default_rng(0)
    sound = tone(FRAMES + 2 * margin)
    muted = silence(sound, SilentRun(20, 40, noise=0.0, tilt=0.0), FRAMES, margin, generator)
    assert power(muted, margin + 20, margin + 40) == 0
    np.testing.assert_array_equal(
        muted[: (margin + 19) * SAMPLES_PER_FRAME], sound[: (margin + 19) * SAMPLES_PER_FRAME]
    )
    np.testing.assert_array_equal(
        muted[(margin + 41) * SAMPLES_PER_FRAME :], sound[(margin + 41) * SAMPLES_PER_FRAME :]
    )


def test_a_run_to_the_edge_goes_on_in_the_surroundings() -> None:
    margin, generator = 6, np.random.default_rng(0)
    muted = silence(tone(FRAMES + 2 * margin), SilentRun(0, FRAMES, noise=0.0, tilt=0.0), FRAMES, margin, generator)
    assert not muted.any()


@pytest.mark.parametrize("tilt", [0.0, 1.0])
def test_noise_lies_under_speech_and_silence_alike(tilt: float) -> None:
    sound = tone(FRAMES)
    noisy = silence(sound, SilentRun(0, 32, noise=0.1, tilt=tilt), FRAMES, 0, np.random.default_rng(0))
    expected = 0.01 * power(sound, 0, FRAMES)
    assert power(noisy, 0, 31) == pytest.approx(expected, rel=0.15)
    difference = noisy - sound
    assert power(difference, 34, FRAMES) == pytest.approx(expected, rel=0.15)


def test_lips_close_in_the_run_and_nothing_else_changes(runs: SilentRuns) -> None:
    face = builtin_face_model()
    generator = np.random.default_rng(1)
    expression = generator.standard_normal((FRAMES, face.expression_size)).astype(np.float32)
    closed = runs.close(expression, SilentRun(16, 48, noise=0.0, tilt=0.0))
    np.testing.assert_array_equal(closed[:16], expression[:16])
    np.testing.assert_array_equal(closed[48:], expression[48:])
    assert np.ptp(closed[22:42], axis=0).max() < 1e-5  # still
    identity = torch.zeros(FRAMES, face.identity_size)
    opening = signed_mouth_opening(face.landmarks(identity, torch.from_numpy(closed)))
    assert opening[22:42].abs().max() < 0.03
    # From one frame to the next nothing jumps by more than what was there already.
    before = np.abs(np.diff(expression, axis=0)).max()
    assert np.abs(np.diff(closed, axis=0)).max() <= before


def test_a_run_from_the_start_is_closed_at_once(runs: SilentRuns) -> None:
    expression = np.random.default_rng(2).standard_normal((FRAMES, 64)).astype(np.float32)
    closed = runs.close(expression, SilentRun(0, FRAMES, noise=0.0, tilt=0.0))
    assert np.ptp(closed, axis=0).max() < 1e-5
