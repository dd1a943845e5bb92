"""Whisper features from end to end: a fetched encoder, features of a store, a training, a portrait."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from expnet.assets import encoders
from expnet.audio.speech_encoders import load_speech_encoder
from expnet.cli import main

pytest.importorskip("espeakng_loader", reason="the built-in corpus needs pip install 'expnet[speech]'")


def test_a_fetched_encoder_serves_features_training_and_animation(
    tmp_path: Path,
    assets_folder: Path,
    face_tracker: tuple[Path, ...],
    write_encoder: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for model in face_tracker:
        (assets_folder / model.name).symlink_to(model)
    from skimage.data import astronaut

    from expnet.animate.animator import Animator

    store, run = tmp_path / "tracks", tmp_path / "run"
    assert main(["synthesize", "--output", str(store), "--clips", "6", "--speakers", "3", "--languages", "en"]) == 0
    assert main(["features", str(store)]) == 2
    assert "expnet assets fetch whisper-tiny.en" in capsys.readouterr().err
    write_encoder(assets_folder / "whisper-base.safetensors", 1)
    write_encoder(assets_folder / "whisper-tiny.en.safetensors", 0)
    assert main(["features", str(store)]) == 0
    options = [f"data.store={store}", f"data.features={store}-whisper-tiny.en", f"output={run}", "data.window=32"]
    options += ["trainer.max_steps=4", "trainer.validate_every=2", "trainer.accelerator=cpu", "data.silent_share=0"]
    options += ["model.width=16", "model.layers=1", "model.audio_channels=8", "data.batch_size=4"]
    assert main(["train", "configs/expression.yaml", *options]) == 0

    image = np.ascontiguousarray(astronaut()[:256, 90:346])
    audio = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    found = Animator(expression=run).coefficients(image, audio)
    given = Animator(expression=run, speech_encoder=assets_folder / "whisper-tiny.en.safetensors")
    np.testing.assert_array_equal(found.expression, given.coefficients(image, audio).expression)


def test_an_encoder_is_found_by_its_weights_not_its_name(
    assets_folder: Path, write_encoder: Callable[..., Path]
) -> None:
    path = write_encoder(assets_folder / "whisper-base.safetensors", 0)
    source = load_speech_encoder(path).source
    assert encoders.find_encoder(source) == path
    write_encoder(path, 1)
    assert encoders.find_encoder(source) is None
    path.unlink()
    assert encoders.find_encoder(source) is None


def test_training_draws_from_disturbed_copies(
    tmp_path: Path, assets_folder: Path, write_encoder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_encoder(assets_folder / "whisper-tiny.en.safetensors", 0)
    store, run = tmp_path / "tracks", tmp_path / "run"
    assert main(["synthesize", "--output", str(store), "--clips", "6", "--speakers", "3", "--languages", "en"]) == 0
    assert main(["features", str(store), "--seed", "1"]) == 2
    assert "options of --copies" in capsys.readouterr().err
    assert main(["features", str(store), "--copies", "2", "--disturb", "noise"]) == 2
    assert "takes KEY=VALUE" in capsys.readouterr().err
    assert main(["features", str(store), "--copies", "2", "--disturb", "pitch=2"]) == 2
    assert "pitch of a copy must be at least 0 and at most 1" in capsys.readouterr().err
    assert main(["features", str(store), "--copies", "2", "--disturb", "babble=1", "--workers", "2"]) == 0
    options = [f"data.store={store}", f"data.features={store}-whisper-tiny.en", f"output={run}", "data.window=32"]
    options += ["trainer.max_steps=2", "trainer.validate_every=2", "trainer.accelerator=cpu", "data.silent_share=0.3"]
    options += ["model.width=16", "model.layers=1", "model.audio_channels=8", "data.batch_size=4"]
    assert main(["train", "configs/expression.yaml", *options]) == 0


def test_features_computed_in_the_batch_resume_exactly(
    tmp_path: Path, assets_folder: Path, write_encoder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "tracks"
    assert main(["synthesize", "--output", str(store), "--clips", "6", "--speakers", "3", "--languages", "en"]) == 0
    options = [f"data.store={store}", "data.features=online", "data.window=32", "data.silent_share=0.3"]
    options += [
        "trainer.validate_every=2",
        "trainer.accelerator=cpu",
        "data.batch_size=4",
        "trainer.deterministic=true",
    ]
    options += [
        "model.width=16",
        "model.layers=1",
        "model.audio_channels=8",
        "optim.warmup_steps=0",
        "optim.final_lr=1",
    ]
    assert main(["train", "configs/expression.yaml", *options, f"output={tmp_path / 'none'}"]) == 2
    assert "expnet assets fetch whisper-tiny.en" in capsys.readouterr().err
    write_encoder(assets_folder / "whisper-tiny.en.safetensors", 0)
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    assert main(["train", "configs/expression.yaml", *options, f"output={through}", "trainer.max_steps=4"]) == 0
    assert main(["train", "configs/expression.yaml", *options, f"output={stopped}", "trainer.max_steps=2"]) == 0
    again = [f"output={stopped}", "trainer.max_steps=4", "ckpt=last"]
    assert main(["train", "configs/expression.yaml", *options, *again]) == 0
    whole, resumed = (load_file(run / "model.safetensors") for run in (through, stopped))
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)
