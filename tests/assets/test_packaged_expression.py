"""Which packaged expression network is used, with and without the weights of its speech encoder."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from expnet.assets import packaged_expression
from expnet.assets.packaged_expression import PACKAGED, choose, choose_motion, expression_weights
from expnet.audio.speech_encoders import load_speech_encoder
from expnet.audio.wave import write_wav
from expnet.cli import main
from expnet.models import packaged_weights
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.saved_model import save_model

TINY = "whisper-tiny.en.safetensors"
TINY_WIDTH = 384


@pytest.fixture(autouse=True)
def _nothing_was_said() -> None:
    packaged_expression._warn_once.cache_clear()


@pytest.fixture
def heard(
    assets_folder: Path, write_encoder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An encoder among the fetched assets, and packaged networks of which one was trained on its features."""
    encoder = write_encoder(assets_folder / TINY, 0)
    monkeypatch.setattr(packaged_weights, "FOLDER", tmp_path / "weights")
    source = load_speech_encoder(encoder).source.as_dict()
    small = {"width": 16, "layers": 1, "heads": 2, "audio_channels": 8}
    save_model(tmp_path / "weights" / "expression.safetensors", ExpressionRegressor(**small))
    network = ExpressionRegressor(**small, speech_features=source)
    save_model(tmp_path / "weights" / "expression-whisper.safetensors", network)
    return encoder


def test_features_are_used_wherever_their_encoder_is_found(heard: Path, caplog: pytest.LogCaptureFixture) -> None:
    choice = choose()
    assert (choice.name, choice.encoder, choice.advice) == ("whisper", heard, "")
    assert expression_weights().name == "expression-whisper.safetensors"
    heard.unlink()
    assert choose().name == "mel"
    assert expression_weights().name == "expression.safetensors"
    assert caplog.records == []  # no asset of this size could be fetched


def test_without_the_encoder_one_line_says_what_would_be_better(
    assets_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert [expression_weights().name for _ in "abc"] == ["expression.safetensors"] * 3
    assert [record.getMessage() for record in caplog.records] == [choose().advice]
    assert choose().advice.endswith("expnet assets fetch whisper-tiny.en.")


def test_an_explicit_choice_is_silent(assets_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, file in PACKAGED.items():
        assert expression_weights(name).stem == file
    assert expression_weights(tmp_path / "run") == tmp_path / "run"
    assert expression_weights(speech_encoder=tmp_path).stem == "expression-whisper"
    assert caplog.records == []


def test_motion_is_sampled_by_default_only_where_its_encoder_is_found(
    heard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_motion("sampled") == ("sampled", None)
    assert choose_motion("regressed") == ("regressed", None)
    assert choose_motion(tmp_path / "run") == ("sampled", tmp_path / "run")
    monkeypatch.setattr(packaged_expression, "DEFAULT_MOTION", "sampled")
    assert choose_motion()[0] == "regressed"  # no motion network in this installation
    source = load_speech_encoder(heard).source.as_dict()
    network = MotionFlow(width=16, layers=1, heads=2, speech_features=source)
    save_model(tmp_path / "weights" / "motion.safetensors", network)
    assert choose_motion()[0] == "sampled"
    assert choose_motion(other_networks=True)[0] == "regressed"
    heard.unlink()
    assert choose_motion()[0] == "regressed"
    assert choose_motion(encoder=True)[0] == "sampled"
    monkeypatch.setattr(packaged_expression, "DEFAULT_MOTION", "regressed")
    assert choose_motion(encoder=True)[0] == "regressed"


def test_a_wrong_encoder_is_one_sentence(
    face_tracker: tuple[Path, ...],
    assets_folder: Path,
    write_encoder: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Other weights, another size and a truncated file; the network on the mel does without any of them."""
    for model in face_tracker:
        (assets_folder / model.name).symlink_to(model)
    image, audio, video = tmp_path / "face.png", tmp_path / "speech.wav", tmp_path / "out.mp4"
    Image.fromarray(astronaut()[:256, 90:346]).save(image)
    write_wav(audio, (0.1 * np.random.default_rng(0).standard_normal(8000)).astype(np.float32))
    command = ["animate", "--image", str(image), "--audio", str(audio), "--output", str(video), "--size", "96"]
    path = assets_folder / TINY

    def said() -> str:
        assert main(command) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    write_encoder(path, 3, width=TINY_WIDTH)
    assert f"{path} is not {TINY}, or is damaged: its SHA-256 begins with" in said()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert f"{path} is damaged or was cut off" in said()
    write_encoder(path, 3, width=512)
    assert "delete it and run 'expnet assets fetch whisper-tiny.en'" in said()
    command += ["--speech-encoder", str(path)]
    assert "give the same weights" in said()
    assert not video.exists()
    assert main([*command[:-2], "--expression", "mel"]) == 0


def test_the_doctor_says_what_is_heard(heard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def line() -> str:
        main(["doctor"])
        return next(text for text in capsys.readouterr().out.splitlines() if "hearing" in text)

    assert line() == f"  ok       hearing             lips follow the speech encoder {heard}"
    heard.write_bytes(b"cut")
    assert "missing  hearing" in line()
    assert line().endswith(f"rm {heard} && expnet assets fetch whisper-tiny.en")


def test_the_doctor_says_how_to_hear_better(assets_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    assert "optional hearing             lips follow the mel  ->  expnet assets fetch whisper-tiny.en" in (
        capsys.readouterr().out
    )
