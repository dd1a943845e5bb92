"""The code of the pages "your own ..." works with the library as it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image, ImageOps
from skimage import data

from expnet.callbacks import ClipSample, MonitoredCheckpoint
from expnet.config import parts
from expnet.data import corpora
from expnet.media.video_reader import write_video
from expnet.models.expression_regressor import ExpressionRegressor

ROOT = Path(__file__).resolve().parents[2]
Example = Callable[[str], ModuleType]


def test_a_temporal_module_of_ones_own(example: Example, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = example("temporal_module")
    module = own.MovingAverage(8, 8)
    x, condition = torch.randn(2, 10, 8), torch.randn(2, 8)
    valid = torch.arange(10)[None] < torch.tensor([[10], [6]])
    changed = torch.where(valid[..., None], x, 99.0)
    assert torch.equal(module(x, condition, valid)[valid], module(changed, condition, valid)[valid])

    monkeypatch.chdir(ROOT)
    task = own.train(str(store), steps=3)
    assert isinstance(task.model.temporal, own.MovingAverage)
    assert task.model.temporal.keep.abs().max() > 0  # the module is trained
    assert task.averaged.temporal.keep.abs().max() > 0


def test_an_attention_bias_of_ones_own(example: Example) -> None:
    own = example("attention_bias")
    torch.manual_seed(0)
    module = own.windowed_transformer(16, 16, reach=3, layers=1).eval()
    x, condition = torch.randn(1, 40, 16), torch.randn(1, 16)
    near, far = x.clone(), x.clone()
    near[:, 23] = torch.randn(16)
    far[:, 24:] = torch.randn(16, 16)
    assert torch.allclose(module(x, condition)[:, :21], module(far, condition)[:, :21], atol=1e-6)
    assert not torch.allclose(module(x, condition)[:, 20], module(near, condition)[:, 20], atol=1e-4)
    model = ExpressionRegressor(width=16, layers=1)
    model.temporal = module
    assert model(torch.randn(1, 80, 160), 40, torch.zeros(1, 64)).shape == (1, 40, 64)


def test_a_loss_of_ones_own(example: Example, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = example("loss")
    monkeypatch.chdir(ROOT)
    task = own.train(str(store), steps=2)
    logged = task.trainer.logged_metrics
    assert logged["train/acceleration_loss"] > 0


def test_a_corpus_of_ones_own(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = example("corpus")
    for name in ("anna-happy-2-007.mp4", "ben-neutral-1-041.mp4"):
        (tmp_path / name).touch()
    own.write_manifest(tmp_path)
    found = corpora.read_corpus(tmp_path)
    assert [(video.speaker, video.emotion, video.level) for video in found] == [
        ("anna", "happy", 2),
        ("ben", "neutral", 1),
    ]

    (tmp_path / "notes.mp4").touch()
    monkeypatch.setattr(parts, "_allowed", {"corpus:read_studio"})
    read = corpora.open_corpus(tmp_path, corpus="corpus:read_studio")
    assert [video.split for video in read.videos] == ["", "test"]
    assert [problem.file.name for problem in read.problems] == ["notes.mp4"]


def test_a_metric_callback_of_ones_own(example: Example, tmp_path: Path) -> None:
    own = example("metric_callback")

    class Module(pl.LightningModule):
        def validation_step(self, batch: torch.Tensor, batch_idx: int) -> dict:
            target = torch.zeros(5, 68, 2)
            landmarks = target.clone()
            landmarks[:, own.MOUTH_CORNERS[1], 0] = float(batch_idx + 1)
            return {"samples": [ClipSample(str(batch_idx), landmarks=landmarks, target_landmarks=target)]}

    callback = own.MouthWidthCallback()
    checkpoint = MonitoredCheckpoint("val/mouth_width_error", [callback], dirpath=tmp_path)
    trainer = pl.Trainer(
        callbacks=[callback, checkpoint],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    trainer.validate(Module(), torch.utils.data.DataLoader(torch.zeros(2, 1)), verbose=False)
    assert trainer.callback_metrics["val/mouth_width_error"] == pytest.approx(1.5)
    assert trainer.callback_metrics["val/mouth_width_error_clips"] == 2


def test_a_script_that_scores_two_folders(example: Example, tmp_path: Path) -> None:
    own = example("score_videos")
    face = data.astronaut()[:256, 100:356]
    for name, reach in (("real", 20), ("calm", 3)):  # faces that are stretched up and down, by 20 pixels and by 3
        heights = [256 + 2 * round(reach * math.sin(frame)) for frame in range(10)]
        stretched = [Image.fromarray(face).resize((256, height)) for height in heights]
        frames = [np.asarray(ImageOps.pad(image.crop((0, 0, 256, 256)), (256, 256))) for image in stretched]
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "clip.mp4", frames, fps=25.0)
    found = own.compare(str(tmp_path / "real"), str(tmp_path / "calm"))
    assert 0 < found["lips"] < 0.4
    assert found["expressions"] > 0
    assert own.compare(str(tmp_path / "real"), str(tmp_path / "real") + "/.")["lips"] == pytest.approx(1)
