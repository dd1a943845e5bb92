"""Live speech: motion does not depend on the chunks, equals that of the whole recording, and arrives on time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from expnet.animate.controls.apply_controls import Motion
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.motion_scale import close_lips
from expnet.animate.streaming import (
    Columns,
    MelStream,
    StreamedHead,
    StreamedMotion,
    check_controls,
    head_delay,
    samples_needed,
)
from expnet.audio.alignment import mel_for_frames
from expnet.audio.mel import SILENCE
from expnet.coefficients import FaceCoefficients
from expnet.errors import ConfigError, InputError
from expnet.face.morphable import builtin_face_model
from expnet.models.audio_encoder import RunningLevel, receptive_columns
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.mel_source import CachedMel
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import save_model

SMALL = {"width": 16, "heads": 4, "layers": 2, "audio_channels": 8}


def speech(seconds: float, *, seed: int = 0) -> np.ndarray:
    """Return noise (S,) at 16 kHz that swells four times a second and gets louder."""
    time = np.arange(round(seconds * 16000)) / 16000
    noise = np.random.default_rng(seed).normal(0, 0.1, len(time))
    return (noise * np.sin(np.pi * 4 * time) ** 2 * (0.2 + time / seconds)).astype(np.float32)


def network(**options: object) -> ExpressionRegressor:
    """Return a streaming network whose last layer is no longer zero."""
    torch.manual_seed(0)
    model = ExpressionRegressor(**{**SMALL, "attention_bias": "alibi_causal", "streaming": True, **options}).eval()
    torch.nn.init.normal_(model.head.weight, std=0.5)
    return model


@pytest.fixture(scope="module")
def heads() -> PoseCVAE:
    torch.manual_seed(1)
    model = PoseCVAE(width=32, layers=1).eval()
    model.pose_std.fill_(0.05)
    return model


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


def motion(model: ExpressionRegressor, heads: PoseCVAE, fit: FaceCoefficients, controls: Controls) -> StreamedMotion:
    head = StreamedHead(heads, torch.from_numpy(fit.pose[:1]), torch.tensor([0]), seed=controls.seed)
    return StreamedMotion(model, head, builtin_face_model(), fit, controls)


def streamed(stream: StreamedMotion, chunks: list[np.ndarray]) -> list[Motion]:
    found = [part for chunk in chunks for part in stream.push(chunk)]
    return [*found, *stream.finish()]


def cut(samples: np.ndarray, seed: int) -> list[np.ndarray]:
    """Cut speech into chunks of 0 to 4000 samples."""
    random = np.random.default_rng(seed)
    places = np.cumsum(random.integers(0, 4000, 200))
    return np.split(samples, places[places < len(samples)])


def values(parts: list[Motion]) -> np.ndarray:
    """Return expression, pose and blinks (T, 71) of all frames."""
    found = [np.concatenate([part.coefficients.expression, part.coefficients.pose], axis=1) for part in parts]
    return np.column_stack([np.concatenate(found), np.concatenate([part.blink for part in parts])])


def test_chunks_change_nothing_bit_for_bit(heads: PoseCVAE, fit: FaceCoefficients) -> None:
    samples, model = speech(4.33), network()
    whole = values(streamed(motion(model, heads, fit, Controls()), [samples]))
    assert whole.shape == (109, 71)
    assert np.ptp(whole[:, :64], axis=0).max() > 0.1
    assert np.ptp(whole[:, 64:70], axis=0).max() > 0.01
    for seed in range(4):
        assert np.array_equal(values(streamed(motion(model, heads, fit, Controls()), cut(samples, seed))), whole)
    grains = [samples[i : i + 160] for i in range(0, len(samples), 160)]
    assert np.array_equal(values(streamed(motion(model, heads, fit, Controls()), grains)), whole)


def test_lips_that_are_open_in_the_portrait_do_not_stay_open(heads: PoseCVAE, fit: FaceCoefficients) -> None:
    samples, model = speech(1.0), network()
    shut = fit.with_(expression=close_lips(builtin_face_model(), fit))
    own, other = (values(streamed(motion(model, heads, face, Controls()), [samples])) for face in (fit, shut))
    assert not np.allclose(own[0], other[0], atol=0.1)
    assert np.allclose(own[6:], other[6:], atol=1e-4)


@pytest.mark.parametrize("level", [True, False])
def test_frames_equal_those_of_the_whole_speech(level: bool) -> None:
    samples, model = speech(14.0), network(level=level)
    first = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(mel_for_frames(samples, 0, 350)[None], 350, first)
        stream, caches, mel = MelStream(), model.caches(), Columns()
        stream.push(samples)
        level_so_far = RunningLevel()
        for frame in range(350):
            begin, end = receptive_columns(frame)
            columns = stream.pull(end)
            mel.append(level_so_far(columns) if level else columns)
            found = model.next_frame(mel.between(begin, end), frame, first, caches)
            torch.testing.assert_close(found[0, 0], expected[0, frame], atol=1e-5, rtol=0)


def test_a_frame_needs_exactly_the_stated_audio() -> None:
    model, first = network(), torch.zeros(1, 64)
    samples = speech(4.0)
    for frame in (0, 1, 2, 3, 4, 37):
        end = samples_needed(frame)
        assert end - 640 * frame <= 3400  # 212.5 ms
        with torch.inference_mode():
            expected = model(mel_for_frames(samples, 0, 60)[None], 60, first)[0, frame]
            for spoiled, same in ((end, True), (end - 500, False)):
                other = samples.copy()
                other[spoiled:] = speech(4.0, seed=9)[spoiled:]
                got = model(mel_for_frames(other, 0, 60)[None], 60, first)[0, frame]
                assert torch.equal(got, expected) == same


def test_the_head_equals_a_draw_for_delayed_speech(heads: PoseCVAE) -> None:
    samples, frames, first = speech(6.0), 150, torch.tensor([[0.05, -0.1, 0.02, 0.0, 0.0, 0.0]])
    delay, span = head_delay(heads.window), 5 * heads.window + 1
    assert delay == 35
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(7)
        mel = mel_for_frames(samples, -delay, span)[None]
        expected = heads.sample(mel, frames, first, torch.tensor([0]), generator)[0].numpy()
        head, columns, stream = StreamedHead(heads, first, torch.tensor([0]), seed=7), Columns(), MelStream()
        columns.append(stream.pull(16))
        stream.push(samples)
        columns.append(stream.pull(600))
        found = np.concatenate([head.next(frame, columns) for frame in range(frames)])
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_long_speech_in_pieces_is_that_of_the_whole() -> None:
    samples, first = speech(12.0), torch.zeros(1, 64)
    for options in ({}, {"streaming": False}, {"level": False}):
        model = network(**options)
        with torch.inference_mode():
            expected = model(mel_for_frames(samples, 0, 300)[None], 300, first)
            model.longest, model.overlap = 150, 25
            in_pieces = model(mel_for_frames(samples, 0, 300)[None], 300, first)
            lazily = model(CachedMel(samples), 300, first)
        torch.testing.assert_close(lazily, in_pieces, atol=1e-5, rtol=0)
        if model.streaming:
            torch.testing.assert_close(in_pieces, expected, atol=1e-5, rtol=0)


def test_columns_before_the_first_are_silence() -> None:
    columns = Columns()
    columns.append(torch.ones(1, 80, 4))
    assert torch.equal(columns.between(-2, 1)[0, 0], torch.tensor([SILENCE, SILENCE, 1.0]))
    columns.forget(3)
    columns.append(torch.full((1, 80, 2), 2.0))
    assert torch.equal(columns.between(3, 6)[0, 0], torch.tensor([1.0, 2.0, 2.0]))


def test_controls_that_need_the_whole_recording_are_refused(heads: PoseCVAE, fit: FaceCoefficients) -> None:
    with pytest.raises(InputError, match="emotion happy: not available for live speech"):
        check_controls(Controls(emotion="happy"))
    check_controls(Controls(seed=3, head_scale=2.0, blink=10.0, gaze=(5.0, 0.0)))
    with pytest.raises(InputError, match="audio chunk: expected finite mono samples"):
        list(motion(network(), heads, fit, Controls()).push(np.zeros((2, 100), np.float32)))
    with pytest.raises(ConfigError, match="attention_bias=alibi_causal, not transformer and alibi"):
        ExpressionRegressor(**SMALL, streaming=True)
    with pytest.raises(ConfigError, match="reads the mel alone"):
        network(blink=True)


@pytest.mark.usefixtures("face_tracker")
def test_streamed_frames_are_those_of_the_whole_recording(heads: PoseCVAE, tmp_path: Path) -> None:
    from expnet.animate.animator import Animator

    weights = {
        "expression": save_model(tmp_path / "expression.safetensors", network()),
        "pose": save_model(tmp_path / "pose.safetensors", heads),
    }
    animator, samples = Animator(**weights), speech(1.9)
    picture = np.ascontiguousarray(astronaut()[:256, 90:346])
    expected = np.stack(list(animator.frames(picture, samples, seed=5)))
    found = np.stack(list(animator.stream(picture, cut(samples, 1), seed=5)))
    assert found.shape == expected.shape == (48, 256, 256, 3)
    assert np.array_equal(found[0], picture)
    assert np.abs(expected[-1].astype(int) - picture).max() > 30
    different = found != expected
    # Sums over arrays of other lengths round differently, so a pixel may round to the other side.
    assert different.mean() < 1e-3
    assert np.abs(found.astype(int) - expected).max() <= 1
    with pytest.raises(InputError, match="needs the whole recording: give expression='streaming'"):
        Animator().stream(picture, [samples])
    assert len(list(Animator(expression="streaming").stream(picture, cut(samples, 1)))) == 48  # the packaged network
    with pytest.raises(InputError, match=r"fps 50\.0: not available for live speech"):
        animator.stream(picture, [samples], fps=50.0)


def test_the_first_frame_is_ready_as_soon_as_its_audio_has_arrived(heads: PoseCVAE, fit: FaceCoefficients) -> None:
    stream = motion(network(), heads, fit, Controls())
    samples = speech(1.0)
    assert list(stream.push(samples[: samples_needed(0) - 1])) == []
    assert len(list(stream.push(samples[samples_needed(0) - 1 : samples_needed(0)]))) == 1
