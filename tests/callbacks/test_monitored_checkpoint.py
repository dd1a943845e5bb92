"""The best checkpoint by a metric: its direction, and validations that do not measure it."""

from pathlib import Path

import pytest
import torch
from foreign_module import ForeignModule, SmallSyncNet, seeded, trainer
from torch import nn

from expnet.callbacks import (
    ClipSample,
    FrechetCallback,
    LandmarkDistanceCallback,
    LpipsCallback,
    MonitoredCheckpoint,
    SyncNetCallback,
)
from expnet.errors import ConfigError, MissingAssetError


class Scripted(LandmarkDistanceCallback):
    """Samples whose landmarks are off by the number of pixels listed for each validation."""

    def __init__(self, distances: list[float], **options: object) -> None:
        super().__init__(normalisation="pixels_256", samples=self.make, **options)
        self.distances = iter(distances)

    def make(self, outputs: object, batch: object) -> list[ClipSample]:
        target = torch.rand(4, 68, 2)
        return [
            ClipSample("clip", landmarks=target + torch.tensor([next(self.distances), 0.0]), target_landmarks=target)
        ]


def run(path: Path, callback: Scripted, epochs: int, **options: object) -> MonitoredCheckpoint:
    best = MonitoredCheckpoint("val/landmark_distance", [callback], dirpath=path, filename="best-{step}")
    trainer(path, callback, best, max_epochs=epochs, enable_checkpointing=True).fit(
        ForeignModule(validation_clips=1), **options
    )
    return best


def test_the_direction_is_the_metrics() -> None:
    callbacks = [
        LandmarkDistanceCallback(),
        SyncNetCallback(network=seeded(SmallSyncNet)),
        FrechetCallback(network=nn.Identity()),
        LpipsCallback(network=nn.Identity(), backbone="vgg"),
    ]
    modes = {
        name: MonitoredCheckpoint(f"val/{name}", callbacks).mode
        for name in ("landmark_distance_mouth", "sync_distance", "sync_confidence", "fid", "lpips_vgg")
    }
    assert modes == {
        "landmark_distance_mouth": "min",
        "sync_distance": "min",
        "sync_confidence": "max",
        "fid": "min",
        "lpips_vgg": "min",
    }
    with pytest.raises(
        ConfigError, match=r"val/sync_offset is neither maximised nor minimised, .* monitor a loss or one of"
    ):
        MonitoredCheckpoint("val/sync_offset", callbacks)
    with pytest.raises(ConfigError, match=r"val/psnr is not measured in this run"):
        MonitoredCheckpoint("val/psnr", callbacks)


def test_the_best_is_kept_and_a_validation_without_the_metric_saves_nothing(tmp_path: Path) -> None:
    best = run(tmp_path, Scripted([5.0, 2.0, 3.0], every=2), epochs=6)
    assert float(best.best_model_score) == pytest.approx(2.0, rel=1e-5)
    # scored after 4, 12 and 20 steps
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-step=12.ckpt"]


def test_a_resumed_run_whose_next_validation_is_not_looked_at(tmp_path: Path) -> None:
    first = Scripted([5.0], every=2)
    runner = trainer(tmp_path, first, max_epochs=1)
    runner.fit(ForeignModule(validation_clips=1))
    runner.save_checkpoint(tmp_path / "first.ckpt")
    best = run(tmp_path, Scripted([2.0], every=2), epochs=3, ckpt_path=tmp_path / "first.ckpt")
    assert Path(best.best_model_path).name == "best-step=12.ckpt"


def test_what_is_monitored_must_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    lpips = LpipsCallback()
    best = MonitoredCheckpoint("val/lpips", [lpips], dirpath=tmp_path)
    with pytest.raises(MissingAssetError, match="alexnet"):
        trainer(tmp_path, lpips, best, enable_checkpointing=True).fit(ForeignModule())
