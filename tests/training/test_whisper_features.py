"""Whisper features from end to end: a fetched encoder, features of a store, a training, a portrait."""

from pathlib import Path

import numpy as np
import pytest

from expnet.assets import encoders
from expnet.audio.speech_encoders import load_speech_encoder
from expnet.audio.speech_encoders.whisper_weights import _BLOCK, WhisperWeights, write_whisper
from expnet.cli import main

pytest.importorskip("espeakng_loader", reason="the built-in corpus needs pip install 'expnet[speech]'")


def random_weights(seed: int, *, width: int = 64) -> WhisperWeights:
    """Three blocks of random weights of the shapes that Whisper's encoder has."""
    random = np.random.default_rng(seed)
    shapes = {"conv1.weight": (width, 80, 3), "conv1.bias": (width,), "conv2.weight": (width, width, 3)}
    shapes |= {"conv2.bias": (width,), "positions": (1500, width)}
    for index in range(3):
        for part in _BLOCK:
            rows = {"qkv": 3, "mlp_in": 4}.get(part.split(".")[0], 1) * width
            columns = 4 * width if part == "mlp_out.weight" else width
            matrix = part.endswith("weight") and "norm" not in part
            shapes[f"blocks.{index}.{part}"] = (rows, columns) if matrix else (rows,)
    arrays = {name: 0.1 * random.normal(size=shape) for name, shape in shapes.items()}
    return WhisperWeights({name: array.astype(np.float16) for name, array in arrays.items()}, 3, 2)


def test_a_fetched_encoder_serves_features_training_and_animation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mediapipe", reason="the built-in face tracker needs mediapipe 0.10.14 (Python 3.11 or 3.12)")
    from skimage.data import astronaut

    from expnet.animate.animator import Animator

    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "assets").mkdir()
    store, run = tmp_path / "tracks", tmp_path / "run"
    assert main(["synthesize", "--output", str(store), "--clips", "6", "--speakers", "3", "--languages", "en"]) == 0
    assert main(["features", str(store)]) == 2
    assert "expnet assets fetch whisper-tiny.en" in capsys.readouterr().err
    write_whisper(tmp_path / "assets" / "whisper-base.safetensors", random_weights(1))
    write_whisper(tmp_path / "assets" / "whisper-tiny.en.safetensors", random_weights(0))
    assert main(["features", str(store)]) == 0
    options = [f"data.store={store}", f"data.features={store}-whisper-tiny.en", f"output={run}", "data.window=32"]
    options += ["trainer.max_steps=4", "trainer.validate_every=2", "trainer.accelerator=cpu", "data.silent_share=0"]
    options += ["model.width=16", "model.layers=1", "model.audio_channels=8", "data.batch_size=4"]
    assert main(["train", "configs/expression.yaml", *options]) == 0

    image = np.ascontiguousarray(astronaut()[:256, 90:346])
    audio = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    found = Animator(expression=run).coefficients(image, audio)
    given = Animator(expression=run, speech_encoder=tmp_path / "assets" / "whisper-tiny.en.safetensors")
    np.testing.assert_array_equal(found.expression, given.coefficients(image, audio).expression)


def test_an_encoder_is_found_by_its_weights_not_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "whisper-base.safetensors"
    write_whisper(path, random_weights(0))
    source = load_speech_encoder(path).source
    assert encoders.find_encoder(source) == path
    write_whisper(path, random_weights(1))
    assert encoders.find_encoder(source) is None
    path.unlink()
    assert encoders.find_encoder(source) is None
