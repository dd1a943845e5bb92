"""Inputs that cannot be used give one sentence and exit code 2, and leave no files behind."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from skimage import data, io

from expnet import cli
from expnet.audio.wave import write_wav
from expnet.media.video_reader import write_video

SECOND = 16_000
TONE = (0.3 * np.sin(np.arange(SECOND) * 2 * np.pi * 200 / SECOND)).astype(np.float32)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good portrait and recording, and many bad files."""
    folder = tmp_path_factory.mktemp("inputs")
    astronaut = data.astronaut()
    io.imsave(folder / "face.png", astronaut, check_contrast=False)
    io.imsave(folder / "no_face.png", data.rocket(), check_contrast=False)
    io.imsave(folder / "two_faces.png", np.concatenate([astronaut, astronaut], axis=1), check_contrast=False)
    io.imsave(folder / "tiny.png", astronaut[:256:16, 96:352:16], check_contrast=False)
    (folder / "text.png").write_text("This is not a picture.")
    write_wav(folder / "speech.wav", TONE)
    write_wav(folder / "silent.wav", np.zeros(SECOND, np.float32))
    write_wav(folder / "short.wav", TONE[: SECOND // 10])
    (folder / "text.mp4").write_text("This is not a video.")
    (folder / "empty.wav").write_bytes(b"")
    frames = [np.full((64, 64, 3), value, np.uint8) for value in range(0, 250, 5)]
    write_video(folder / "mute.mp4", frames, fps=25)
    write_video(folder / "whole.mp4", frames, fps=25, audio=np.tile(TONE, 2), sample_rate=SECOND)
    whole = (folder / "whole.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    _write_nan_wav(folder / "nan.wav")
    return folder


def _write_nan_wav(path: Path) -> None:
    """Write a 32-bit float wav with one NaN sample."""
    samples = TONE.copy()
    samples[5000] = np.nan
    body = samples.astype("<f4").tobytes()
    header = b"RIFF" + (36 + len(body)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    layout = (3, 1), (SECOND, 4 * SECOND), (4, 32)
    for pair, size in zip(layout, (2, 4, 2), strict=True):
        header += b"".join(value.to_bytes(size, "little") for value in pair)
    path.write_bytes(header + b"data" + len(body).to_bytes(4, "little") + body)


def run(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the command line in this process; return its exit code and stderr."""
    code = cli.main([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


def check(code: int, error: str, *words: str) -> None:
    """Check for exit code 2 and one sentence that contains these words, without a traceback."""
    said = [line for line in error.splitlines() if line.startswith("expnet: ")]
    assert code == 2, error
    assert len(said) == 1, error
    assert "Traceback" not in error
    assert all(word in said[0] for word in words), said[0]


@pytest.mark.parametrize(
    ("image", "audio", "word"),
    [
        ("no_face.png", "speech.wav", "face"),
        ("two_faces.png", "speech.wav", "2 faces"),
        ("tiny.png", "speech.wav", "16"),
        ("text.png", "speech.wav", "text.png"),
        ("missing.png", "speech.wav", "missing.png"),
        ("face.png", "text.mp4", "text.mp4"),
        ("face.png", "truncated.mp4", "truncated.mp4"),
        ("face.png", "mute.mp4", "mute.mp4"),
        ("face.png", "silent.wav", "silen"),
        ("face.png", "short.wav", "0.1"),
        ("face.png", "empty.wav", "empty.wav"),
        ("face.png", "nan.wav", "nan.wav"),
        ("face.png", "missing.wav", "missing.wav"),
    ],
)
def test_animate(
    inputs: Path, tmp_path: Path, image: str, audio: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["animate", "--image", inputs / image, "--audio", inputs / audio, "--output", tmp_path / "out.mp4"]
    check(*run(arguments, capsys), word)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["missing/out.mp4", "file/out.mp4", "folder"])
def test_animate_where_it_cannot_write(
    inputs: Path, tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    arguments = ["animate", "--image", inputs / "face.png", "--audio", inputs / "speech.wav"]
    check(*run([*arguments, "--output", tmp_path / output], capsys), output.split("/")[0])
    assert sorted(tmp_path.rglob("*")) == before


def test_any_rate_width_and_channels_are_fine(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(60, 200, (44_100, 2), dtype=np.uint8)
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(1)
        file.setframerate(44_100)
        file.writeframes(noise.tobytes())
    arguments = ["animate", "--image", inputs / "face.png", "--audio", tmp_path / "stereo.wav"]
    code, error = run([*arguments, "--output", tmp_path / "out.mp4"], capsys)
    assert code == 0, error
    assert (tmp_path / "out.mp4").stat().st_size > 1000


@pytest.mark.parametrize("name", ["text.mp4", "truncated.mp4", "mute.mp4"])
def test_preprocess_of_nothing_usable(
    inputs: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / name).write_bytes((inputs / name).read_bytes())
    check(*run(["preprocess", tmp_path / "videos", "--output", tmp_path / "tracks"], capsys), "videos")
    assert not (tmp_path / "tracks").exists()


def test_preprocess_of_a_missing_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(*run(["preprocess", tmp_path / "nowhere", "--output", tmp_path / "tracks"], capsys), "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.widht=64", ("widht", "width")),
        ("model.width=wide", ("width", "wide")),
        ("data.store=nowhere", ("nowhere",)),
    ],
)
def test_train(tmp_path: Path, override: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    config = Path(__file__).parents[2] / "configs" / "expression.yaml"
    output = tmp_path / "run"
    check(*run(["train", config, "data.store=tracks", f"output={output}", override], capsys), *words)
    assert not output.exists()


def test_weights_of_the_other_task(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from expnet.models.packaged_weights import packaged_weights

    arguments = ["animate", "--image", inputs / "face.png", "--audio", inputs / "speech.wav"]
    arguments += ["--output", tmp_path / "out.mp4", "--expression", packaged_weights("pose")]
    check(*run(arguments, capsys), "pose", "expression")
    assert list(tmp_path.iterdir()) == []
