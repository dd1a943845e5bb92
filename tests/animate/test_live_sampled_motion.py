"""Sampled motion for live speech: cuts, seeds and threads change nothing, and an hour costs no more than a minute."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
import torch

from expnet.animate.controls.apply_controls import Motion
from expnet.animate.controls.blinks import LiveBlinks, clear_blinks
from expnet.animate.controls.controls import Controls
from expnet.animate.live_sampled_motion import LiveSampledMotion
from expnet.animate.sampled_motion import MotionSampler
from expnet.audio.pauses import LOUD, RunningPeak, frame_levels
from expnet.audio.trailing_samples import TrailingSamples
from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.morphable import builtin_face_model
from expnet.models.flow_matching.live import Schedule
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.saved_model import save_model

QUICK = Schedule(hop=5, lookahead=5, history=20)


def speech(seconds: float, *, seed: int = 0) -> np.ndarray:
    """Return noise (S,) at 16 kHz that swells four times a second, with a pause in its middle."""
    time = np.arange(round(seconds * 16000)) / 16000
    noise = np.random.default_rng(seed).normal(0, 0.1, len(time)) * np.sin(np.pi * 4 * time) ** 2
    noise[(time > 0.4 * seconds) & (time < 0.6 * seconds)] = 0
    return noise.astype(np.float32)


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> MotionSampler:
    """A small untrained network that moves and listens through the mel."""
    torch.manual_seed(0)
    network = MotionFlow(width=16, layers=1, heads=2, audio_channels=8)
    torch.nn.init.normal_(network.head.weight, std=0.3)
    network.lid_mean.fill_(0.3)
    network.lid_std.fill_(0.2)
    return MotionSampler(save_model(tmp_path_factory.mktemp("weights") / "motion.safetensors", network))


@pytest.fixture(scope="module")
def fit() -> FaceCoefficients:
    random = np.random.default_rng(3)
    model = builtin_face_model()
    return FaceCoefficients(
        expression=random.normal(0, 0.3, (1, 64)),
        rotation=np.array([[0.05, -0.1, 0.02]]),
        translation=np.zeros((1, 3)),
        identity=np.zeros(model.identity_basis.shape[-1]),
        crop=np.array([128.0, 128.0, 200.0]),
    )


def stream(
    sampler: MotionSampler, fit: FaceCoefficients, controls: Controls | None = None, schedule: Schedule = QUICK
) -> LiveSampledMotion:
    style = torch.zeros(1, dtype=torch.long)
    return LiveSampledMotion(sampler, builtin_face_model(), fit, controls or Controls(), schedule, style=style)


def motion(live: LiveSampledMotion, chunks: list[np.ndarray]) -> np.ndarray:
    """Return expression, pose and blinks (T, 71) of all frames."""
    return values([part for chunk in chunks for part in live.push(chunk)] + list(live.finish()))


def values(parts: list[Motion]) -> np.ndarray:
    found = [np.concatenate([part.coefficients.expression, part.coefficients.pose], axis=1) for part in parts]
    return np.column_stack([np.concatenate(found), np.concatenate([part.blink for part in parts])])


def cut(samples: np.ndarray, seed: int) -> list[np.ndarray]:
    """Cut speech into chunks of 0 to 4000 samples."""
    random = np.random.default_rng(seed)
    places = np.cumsum(random.integers(0, 4000, 200))
    return np.split(samples, places[places < len(samples)])


def test_chunks_and_threads_change_nothing_bit_for_bit(sampler: MotionSampler, fit: FaceCoefficients) -> None:
    samples = speech(3.33)
    whole = motion(stream(sampler, fit), [samples])
    assert whole.shape == (84, 71)
    assert np.ptp(whole[:, :64], axis=0).max() > 0.1
    assert np.ptp(whole[:, 64:70], axis=0).max() > 0.01
    for seed in range(3):
        assert np.array_equal(motion(stream(sampler, fit), cut(samples, seed)), whole)
    grains = [samples[i : i + 160] for i in range(0, len(samples), 160)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        assert np.array_equal(motion(stream(sampler, fit), grains), whole)
    finally:
        torch.set_num_threads(threads)


def test_the_seed_draws_the_performance(sampler: MotionSampler, fit: FaceCoefficients) -> None:
    samples = speech(2.0)
    one, other = (motion(stream(sampler, fit, Controls(seed=seed)), [samples]) for seed in (1, 2))
    for columns in (slice(0, 64), slice(64, 70)):
        assert np.abs(one[:, columns] - other[:, columns]).max() > 0.01
    assert np.allclose(one[0, :70], np.concatenate([fit.expression[0], fit.pose[0]]), atol=1e-6)


@pytest.mark.parametrize("schedule", [QUICK, Schedule(hop=2, lookahead=0, history=20)])
def test_a_block_leaves_as_soon_as_its_audio_has_arrived(
    sampler: MotionSampler, fit: FaceCoefficients, schedule: Schedule
) -> None:
    live, samples = stream(sampler, fit, schedule=schedule), speech(3.0)
    assert live.latency == 40 * (schedule.hop + schedule.lookahead)
    needed = 640 * schedule.delay
    assert list(live.push(samples[: needed - 1])) == []
    (first,) = live.push(samples[needed - 1 : needed])
    assert first.coefficients.frames == schedule.hop
    # Speech after the look-ahead cannot change what has left, and speech within it does.
    spoiled = samples.copy()
    spoiled[needed:] = speech(3.0, seed=9)[needed:]
    every = motion(stream(sampler, fit, schedule=schedule), [spoiled])
    assert np.array_equal(every[: schedule.hop], values([first]))
    spoiled[needed - 300 :] = speech(3.0, seed=9)[needed - 300 :]
    changed = motion(stream(sampler, fit, schedule=schedule), [spoiled])
    assert not np.array_equal(changed[: schedule.hop], values([first]))


def test_a_long_stream_costs_constant_memory(sampler: MotionSampler, fit: FaceCoefficients) -> None:
    """After the first seconds nothing grows; the bound is a tenth of what the samples would take."""
    live, second = stream(sampler, fit, schedule=Schedule(hop=25, lookahead=0, history=5)), speech(1.0)
    held = []
    tracemalloc.start()
    try:
        for _ in range(4):
            for _ in range(15):
                assert [part.coefficients.frames for part in live.push(second)] == [25]
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[-1] - held[0] < 0.1 * 45 * second.nbytes


def test_controls_keep_their_meaning(sampler: MotionSampler, fit: FaceCoefficients) -> None:
    samples = speech(3.0)
    usual = motion(stream(sampler, fit), [samples])
    more = motion(stream(sampler, fit, Controls(expression_scale=1.5)), [samples])
    still = motion(stream(sampler, fit, Controls(still=True, blink="none")), [samples])
    assert more[:, :64].std(0).sum() > 1.2 * usual[:, :64].std(0).sum()
    assert np.ptp(still[:, 64:], axis=0).max() < 1e-6
    assert usual[:, 70].max() == 1  # it blinks


def test_live_blinks_are_those_of_the_recording_a_little_later() -> None:
    closure = np.full(80, 0.1, np.float32)
    closure[[20, 21, 22]] = 0.5, 0.9, 0.85
    closure[50:60] = 0.9
    closure[35] = 0.4  # noise
    whole = clear_blinks(closure)
    live = LiveBlinks()
    found = np.concatenate([live(closure[:21]), live(closure[21:55]), live(closure[55:])])
    late = int(np.flatnonzero(found == 1)[0] - np.flatnonzero(whole == 1)[0])
    assert late == 2  # 0.12 s, less the frame before the peak
    assert np.array_equal(found[45:], whole[42:77])
    assert not LiveBlinks()(np.full(10, 0.4)).any()


def test_the_running_peak_is_the_quantile_of_the_levels() -> None:
    levels = np.random.default_rng(0).normal(-25, 8, 5000)
    peak = RunningPeak()
    found = [peak(part) for part in np.split(levels, 10)][-1]
    assert abs(found - np.quantile(levels, LOUD)) < 1.0
    assert RunningPeak()(frame_levels(np.zeros(640 * 50, np.float32))) > -30  # silence at first: speech is expected


def test_what_is_no_speech_is_refused(sampler: MotionSampler, fit: FaceCoefficients) -> None:
    for chunk in (np.zeros((2, 100), np.float32), np.full(10, np.nan, np.float32)):
        with pytest.raises(InputError, match="audio chunk: expected finite mono samples"):
            list(stream(sampler, fit).push(chunk))
    with pytest.raises(InputError, match="looks 0 to 50 frames ahead, not 51"):
        Schedule(lookahead=51)
    with pytest.raises(InputError, match="drawn every 1 to 25 frames, not 0"):
        Schedule(hop=0)
    kept = TrailingSamples()
    kept.push(np.arange(2000, dtype=np.float32))
    kept.forget(2)
    assert kept.frames(2, 4).tolist() == [*np.arange(1280, 2000), *[0.0] * 560]
