"""Batches: many videos in one process, failures as rows; and the style sheet."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from expnet import cli
from expnet.animate import style_sheet as style_sheets
from expnet.animate.animator import Animator
from expnet.animate.batch import RESULTS, animate_batch, read_manifest
from expnet.animate.controls.controls import Controls
from expnet.animate.style_sheet import style_sheet
from expnet.audio.wave import write_wav
from expnet.errors import ExpnetError, InputError
from expnet.media.video_reader import probe_video
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import save_model

pytestmark = pytest.mark.usefixtures("face_tracker")


@pytest.fixture(scope="module")
def animator(tmp_path_factory: pytest.TempPathFactory) -> Animator:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_model(folder / "expression.safetensors", ExpressionRegressor(width=16, layers=1, heads=2))
    save_model(folder / "pose.safetensors", PoseCVAE(styles=5))
    return Animator(expression=folder / "expression.safetensors", pose=folder / "pose.safetensors")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    folder.mkdir()
    Image.fromarray(astronaut()[:256, 90:346]).resize((128, 128)).save(folder / "face.png")
    Image.fromarray(np.full((128, 128, 3), 90, np.uint8)).save(folder / "nobody.png")
    write_wav(folder / "speech.wav", np.random.default_rng(0).normal(0, 0.1, 6400).astype(np.float32))
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_failures_are_rows_and_what_is_done_is_not_done_again(animator: Animator, inputs: Path, tmp_path: Path) -> None:
    manifest, output = inputs / "manifest.csv", tmp_path / "videos"
    manifest.write_text(
        "image,audio,idle,output,fps,emotion\n"
        "face.png,speech.wav,,a.mp4,50,happy\n"
        "nobody.png,speech.wav,,b.mp4,,\n"
        "face.png,,0.2,,,\n"
        "face.png,speech.wav,,d.mp4,,bored\n"
    )
    opened = []

    def open_animator() -> Animator:
        opened.append(1)
        return animator

    for _ in range(2):
        with pytest.raises(ExpnetError, match="2 of 4") as error:
            animate_batch(open_animator, manifest, output, Controls(blink="none"))
        assert error.value.exit_code == 1
        results = rows(output / RESULTS)
        assert [row["status"] for row in results] == ["done", "failed", "done", "failed"]
        assert "no face" in results[1]["reason"]
        assert "emotion bored" in results[3]["reason"]
    assert probe_video(output / "a.mp4").fps == 50.0
    assert probe_video(output / "0003-face-idle.mp4").frames == 5
    assert sorted(item.name for item in output.iterdir()) == ["0003-face-idle.mp4", "a.mp4", RESULTS]

    before = (output / "a.mp4").stat().st_mtime_ns
    manifest.write_text("image,audio,output,fps,emotion\nface.png,speech.wav,a.mp4,50,happy\n")
    animate_batch(lambda: pytest.fail("nothing was to be done"), manifest, output, Controls(blink="none"))
    manifest.write_text("image,audio,output,fps,emotion\nface.png,speech.wav,a.mp4,25,happy\n")
    animate_batch(open_animator, manifest, output, Controls(blink="none"))
    assert (output / "a.mp4").stat().st_mtime_ns > before
    assert probe_video(output / "a.mp4").fps == 25.0
    before = (output / "a.mp4").stat().st_mtime_ns
    animate_batch(open_animator, manifest, output, Controls(blink="none"), renderer="sadtalker")
    assert (output / "a.mp4").stat().st_mtime_ns > before, "another renderer makes another video"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "nothing"),
        ("image,sound\na.png,b.wav\n", "sound"),
        ("image\na.png\n", "audio, text, idle"),
        ("image,audio\n", "no row"),
        ("image,audio\na.png,\n", "line 2"),
        ("image,audio,text\na.png,b.wav,words\n", "line 2"),
        ("image,audio,output\na.png,b.wav,c.mp4\nd.png,e.wav,c.mp4\n", "line 3"),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match=word):
        read_manifest(tmp_path / "manifest.csv", tmp_path)


def test_the_command_line_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["animate", "--batch", str(tmp_path / "missing.csv"), "--output", str(tmp_path / "out")]) == 2
    assert "missing.csv" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_sheet_shows_every_style(animator: Animator, inputs: Path, tmp_path: Path) -> None:
    path = style_sheet(animator, tmp_path / "sheet.png", inputs / "speech.wav")
    sheet = np.asarray(Image.open(path))
    assert sheet.shape[1] > 4 * 300  # five styles: two rows of four
    assert 2 * 90 < sheet.shape[0] < 3 * 120
    on_face = style_sheet(animator, tmp_path / "faces.png", inputs / "speech.wav", image=inputs / "face.png")
    assert np.asarray(Image.open(on_face)).std() > sheet.std()
    with pytest.raises(InputError, match=r"sheet\.jpg"):
        style_sheet(animator, tmp_path / "sheet.jpg", inputs / "speech.wav")


def test_the_calmest_style_comes_first_and_keeps_its_number(
    animator: Animator, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, heads = [], np.random.default_rng(0).normal(0, 0.1, (15, 6)).astype(np.float32)
    draw = style_sheets._cell
    monkeypatch.setattr(style_sheets, "_cell", lambda style, *rest: order.append(style) or draw(style, *rest))
    monkeypatch.setattr(animator, "head_motion", lambda *_, style, **__: heads * abs(style - 2.2))
    style_sheet(animator, tmp_path / "sheet.png", inputs / "speech.wav")
    assert order == [2, 3, 1, 4, 0]
