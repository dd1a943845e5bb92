"""Samples on disk and on dashboards."""

from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_module import ForeignModule, make_sample, trainer
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from expnet.audio.wave import load_audio
from expnet.callbacks import ClipSample, LandmarkDistanceCallback, SamplesCallback
from expnet.callbacks.sample_files import draw_curves, draw_landmarks
from expnet.media.video_reader import probe_video, read_video


def test_each_validation_gets_a_folder_of_videos_curves_and_landmarks(tmp_path: Path) -> None:
    callback = SamplesCallback(every=2, clips=["clip1", "clip2", "clip3"], most=2)
    trainer(tmp_path, callback, max_epochs=3).fit(ForeignModule())
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("samples/*/*")) == [
        f"samples/step_{step:06d}/clip{clip}{kind}"
        for step in (4, 12)
        for clip in (1, 2)
        for kind in (".mp4", "_curves.png", "_landmarks.png")
    ]
    video = tmp_path / "samples" / "step_000004" / "clip1.mp4"
    info = probe_video(video)
    assert info.has_audio
    assert info.size == (32 + 22, 64)  # real and generated side by side, below their labels
    assert len(list(read_video(video))) == 15
    assert len(load_audio(video)) == pytest.approx(15 * 640, abs=1024)


def test_curves_and_landmarks_can_be_seen() -> None:
    sample = make_sample(0)
    curves = draw_curves(sample)
    assert curves is not None
    # real in blue, generated in orange
    for colour in ((24, 100, 171), (217, 72, 15)):
        assert (np.abs(curves.astype(int) - colour).sum(-1) < 30).sum() > 100
    dark = ClipSample(
        "dark", frames=torch.zeros(6, 3, 64, 64, dtype=torch.uint8), landmarks=torch.full((6, 68, 2), 20.0)
    )
    overlay = draw_landmarks(dark)
    assert overlay is not None
    assert overlay.shape == (64, 5 * 64, 3)
    for tile in np.split(overlay, 5, axis=1):
        rows, columns = np.nonzero(tile.any(-1))
        assert (rows.mean(), columns.mean()) == pytest.approx((20, 20), abs=0.6)


def test_what_a_sample_lacks_is_left_out(tmp_path: Path) -> None:
    frames = torch.zeros(5, 3, 32, 32, dtype=torch.uint8)
    bare = SamplesCallback(tmp_path / "here", samples=lambda outputs, batch: [ClipSample("a/b", frames=frames)])
    trainer(tmp_path, bare).validate(ForeignModule(validation_clips=1), verbose=False)
    assert [path.name for path in tmp_path.rglob("here/*/*")] == ["a_b.mp4"]
    assert draw_curves(ClipSample("a")) is None
    assert draw_landmarks(ClipSample("a", frames=frames)) is None


def test_wandb_gets_videos_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    logged: list[tuple[str, int]] = []
    log_metrics = logger.log_metrics
    monkeypatch.setattr(
        logger,
        "log_metrics",
        lambda metrics, step=None: [logged.append((key, step)) for key in metrics] and log_metrics(metrics, step),
    )
    trainer(tmp_path, LandmarkDistanceCallback(), SamplesCallback(most=1), logger=logger).fit(ForeignModule())
    summary = logger.experiment.summary
    media_keys = ("samples/clip0", "samples/clip0_curves", "samples/clip0_landmarks")
    assert set(media_keys) <= set(summary.keys())
    assert {key: step for key, step in logged if key in (*media_keys, "val/landmark_distance")} == dict.fromkeys(
        (*media_keys, "val/landmark_distance"), 3
    )
    media = [path.suffix for path in tmp_path.rglob("media/**/*") if path.is_file()]
    logger.experiment.finish()
    assert sorted(media) == [".mp4", ".png", ".png"]


def test_tensorboard_gets_the_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="", version="board")
    scores = LandmarkDistanceCallback()
    trainer(tmp_path, scores, SamplesCallback(most=1), logger=logger).fit(ForeignModule())
    logger.experiment.flush()
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert set(events.Tags()["images"]) == {"samples/clip0_curves", "samples/clip0_landmarks"}
    # The images of a validation stand at its scores; both count steps from 0, while files and checkpoints count from 1.
    assert events.Images("samples/clip0_curves")[0].step == events.Scalars("val/landmark_distance")[0].step == 3
    picture = Image.open(tmp_path / "samples" / "step_000004" / "clip0_curves.png")
    assert picture.size[0] == 900
