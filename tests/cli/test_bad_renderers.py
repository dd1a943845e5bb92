"""Renderers that cannot be used: one sentence, exit code 2, and nothing lost of what was there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage.data import astronaut

from expnet import cli
from expnet.audio.wave import write_wav
from expnet.media.video_reader import write_video

FILES = ("SadTalker_V0.0.2_256.safetensors", "mapping_00109-model.pth.tar", "mapping_00229-model.pth.tar")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with a portrait, the same far away, a recording, and a video that was there before."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    face = Image.fromarray(astronaut())
    face.save(folder / "face.png")
    far = Image.new("RGB", (400, 400), (120, 120, 120))
    far.paste(face.resize((240, 240), Image.Resampling.LANCZOS), (80, 80))
    far.save(folder / "far.png")
    noise = np.random.default_rng(0).normal(0, 0.1, 16000) * np.sin(np.arange(16000) / 2000)
    write_wav(folder / "speech.wav", noise.astype(np.float32))
    (folder / "before.mp4").write_bytes(b"an earlier video")
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command line, and return the one sentence with which it refuses."""
    code = cli.main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    said = [line for line in error.splitlines() if line.startswith("expnet: ")]
    assert (code, len(said)) == (2, 1), error
    assert "Traceback" not in error
    return said[0]


def animate(capsys: pytest.CaptureFixture[str], inputs: Path, *options: object, image: str = "face.png") -> str:
    files = ("--image", inputs / image, "--audio", inputs / "speech.wav", "--output", inputs / "before.mp4")
    said = refused(capsys, "animate", *files, *options)
    assert (inputs / "before.mp4").read_bytes() == b"an earlier video"
    assert sorted(path.name for path in inputs.iterdir()) == ["before.mp4", "face.png", "far.png", "speech.wav"]
    return said


def test_names_and_sizes(capsys: pytest.CaptureFixture[str], inputs: Path, assets_folder: Path) -> None:
    assert "renderer dlib: expected one of mesh, sadtalker" in animate(capsys, inputs, "--renderer", "dlib")
    chosen = ("--renderer", "sadtalker", "--size")
    assert "draws squares of 256 or 512 pixels; choose one" in animate(capsys, inputs, *chosen, 300)
    assert "run 'expnet assets fetch sadtalker-512'" in animate(capsys, inputs, *chosen, 512)
    assert "a refiner corrects the mesh renderer's mouths" in animate(
        capsys, inputs, "--renderer", "sadtalker", "--refiner", "run"
    )


def test_another_versions_file(capsys: pytest.CaptureFixture[str], inputs: Path, assets_folder: Path) -> None:
    for name in FILES:
        (assets_folder / name).write_bytes(b"SadTalker of another day")
    said = animate(capsys, inputs, "--renderer", "sadtalker")
    assert "is not SadTalker_V0.0.2_256.safetensors, or is damaged: its SHA-256 begins with" in said
    assert "run 'expnet assets fetch sadtalker-256'" in said


def test_a_file_without_one_of_the_networks(
    capsys: pytest.CaptureFixture[str], inputs: Path, assets_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expnet.assets.sadtalker.verify", lambda *_: "")  # a file that passes for the published one
    save_file({"kp_extractor.kp.weight": torch.zeros(1)}, assets_folder / FILES[0])
    for name in FILES[1:]:
        torch.save({"mapping": {"first.0.weight": torch.zeros(2, 3, 4)}}, assets_folder / name)
    said = animate(capsys, inputs, "--renderer", "sadtalker")
    assert "lacks the generator of SadTalker's renderer: none of its tensors is named generator.*" in said


@pytest.mark.usefixtures("face_tracker", "sadtalker_found")
def test_a_face_too_small_for_the_square(capsys: pytest.CaptureFixture[str], inputs: Path) -> None:
    said = animate(capsys, inputs, "--renderer", "sadtalker", "--expression", "mel", image="far.png")
    assert "the face is too small for a neural renderer" in said
    assert "expected at least 100" in said


def test_preprocessing_without_the_regressor(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, assets_folder: Path
) -> None:
    videos, store = tmp_path / "videos", tmp_path / "store"
    videos.mkdir()
    frames = [np.full((64, 64, 3), 90, np.uint8)] * 30
    write_video(videos / "a.mp4", frames, fps=25, audio=np.full(19200, 0.1, np.float32), sample_rate=16000)
    chosen = ("--output", store, "--face-model", "bfm-deep3d")
    assert "run 'expnet assets fetch sadtalker-256'" in refused(capsys, "preprocess", videos, *chosen)
    (assets_folder / FILES[0]).write_bytes(b"SadTalker of another day")
    assert "is not SadTalker_V0.0.2_256.safetensors, or is damaged" in refused(capsys, "preprocess", videos, *chosen)
    assert not (store / "manifest.parquet").exists()
