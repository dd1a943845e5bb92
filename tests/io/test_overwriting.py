"""No command writes its output over one of its inputs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expnet import cli
from expnet.audio.wave import write_wav
from expnet.errors import InputError
from expnet.io.overwriting import is_same_file, refuse_overwriting
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import save_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a file of each kind."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save(tmp_path / "face.png")
    write_wav(tmp_path / "speech.wav", np.full(16_000, 0.1, np.float32))
    (tmp_path / "clip.mp4").write_text("a recording")
    (tmp_path / "motion.mat").write_text("motion")
    (tmp_path / "basel.npz").write_text("a face model")
    save_model(tmp_path / "model" / "model.safetensors", PoseCVAE())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text("{}")
    return tmp_path


def test_one_file_by_any_name(folder: Path) -> None:
    file = folder / "clip.mp4"
    os.link(file, folder / "hard.mp4")
    (folder / "soft.mp4").symlink_to(file)
    names = ["clip.mp4", "./clip.mp4", "a/../clip.mp4", "hard.mp4", "soft.mp4", file]
    for name in names:
        assert is_same_file(file, name)
        with pytest.raises(InputError, match="would be replaced"):
            refuse_overwriting(name, [None, 0, np.zeros(3), file])
    for other in ("face.png", "missing.mp4", "s3://bucket/clip.mp4", "a\0b", "keep"):
        assert not is_same_file(file, other)
        refuse_overwriting(file, [other])
    refuse_overwriting("missing.mp4", ["missing.mp4"])


@pytest.mark.parametrize(
    "command",
    [
        "animate --image face.png --audio clip.mp4 --output ./clip.mp4",
        "animate --image clip.mp4 --idle 1 --output clip.mp4",
        "animate --image face.png --audio basel.npz --output new.mp4 --export basel.npz",
        "animate --image face.png --audio speech.wav --output clip.mp4 --reference-video a/../clip.mp4",
        "animate --image face.png --audio speech.wav --output clip.mp4 --pose-style clip.mp4",
        "animate --image face.png --audio speech.wav --output clip.mp4 --background clip.mp4",
        "animate --batch jobs.csv --output .",
        "animate --batch other.csv --output .",
        "animate --batch a/results.csv --output a",
        "styles --image face.png --audio speech.wav --output face.png",
        "convert motion.mat --to pirender --output motion.mat",
        "convert motion.mat --to npz --output basel.npz --face-model basel.npz",
        "export --checkpoint model --output model",
        "export --checkpoint model/model.safetensors --output a/../model",
        "compare a b --output a",
    ],
)
def test_commands(folder: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "jobs.csv").write_text("image,audio,output\nface.png,clip.mp4,clip.mp4\n")
    (folder / "other.csv").write_text("image,audio,output\nface.png,speech.wav,clip.mp4\nface.png,clip.mp4,b.mp4\n")
    (folder / "a" / "results.csv").write_text("image,audio\nface.png,speech.wav\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert cli.main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "would be replaced" in error, error
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_two_outputs_of_a_batch_are_one_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "jobs.csv").write_text("image,audio,output\nface.png,speech.wav,x.mp4\nface.png,speech.wav,a/../x.mp4\n")
    assert cli.main(["animate", "--batch", "jobs.csv", "--output", "."]) == 2
    assert "line 3" in capsys.readouterr().err
