"""Metric callbacks in the training of a foreign module: what they log, when, and what they leave unchanged."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from foreign_module import CLIPS, Averages, ForeignModule, SmallSyncNet, make_sample, seeded, trainer
from torch import Tensor, nn

from expnet.assets.extractors import open_extractor
from expnet.callbacks.clip_sample import ClipSample, picked_frames, samples_of_outputs
from expnet.callbacks.image_quality import FrechetCallback, LpipsCallback
from expnet.callbacks.landmark_distance import LandmarkDistanceCallback
from expnet.callbacks.metric_callback import MetricCallback
from expnet.callbacks.syncnet import SyncNetCallback
from expnet.errors import ConfigError, InputError, MissingAssetError
from expnet.metrics import (
    ClipMetric,
    Extractor,
    FrechetInceptionDistance,
    LandmarkDistance,
    LearnedPerceptualDistance,
    NamedMetric,
)
from expnet.metrics.base import unweighted


class Brightness(ClipMetric):
    """Mean grey level scaled by a network, to test how networks are held."""

    name, title, unit, higher_is_better = "brightness", "Brightness", "levels", False

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.extractor = extractor

    def score(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.extractor(frames.float().mean(dim=(1, 2, 3, 4))[:, None])  # (B, 1)
        assert seen.dtype == torch.float32
        return unweighted(seen[:, 0].double())


class BrightnessCallback(MetricCallback):
    measures: Sequence[NamedMetric | type[NamedMetric]] = (Brightness,)

    def __init__(self, network: nn.Module | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.network = network
        self.added: list[tuple[int, str]] = []

    def open(self) -> Sequence[NamedMetric]:
        if self.network is None:
            raise MissingAssetError("The file eyes.pth is missing; put it there.")
        return [Brightness(Extractor(self.network))]

    def add(self, sample: ClipSample) -> None:
        (frames,) = sample.need("frames")
        assert not torch.is_autocast_enabled("cpu")
        self.added.append((self.step, sample.clip_id))
        for metric in self.metrics:
            metric.update(frames[None])

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().begin(trainer, pl_module)
        self.step = trainer.global_step


def brightness(clips: Sequence[int]) -> float:
    return sum(float(make_sample(clip).need("frames")[0].float().mean()) for clip in clips) / len(clips)


class One(nn.Linear):
    """The identity, as a network with a weight."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)


def test_the_validation_of_a_foreign_module_is_scored_and_nothing_is_trained(tmp_path: Path) -> None:
    scores, sync = LandmarkDistanceCallback(), SyncNetCallback(network=seeded(SmallSyncNet))
    logged = trainer(tmp_path, scores, sync).validate(ForeignModule(), verbose=False)[0]
    for region, name in (("face", "landmark_distance"), ("mouth", "landmark_distance_mouth")):
        metric = LandmarkDistance(region=region)
        for index in range(CLIPS):
            sample = make_sample(index)
            landmarks, target, valid = sample.need("landmarks", "target_landmarks", "valid")
            metric.update(landmarks[None], target[None], valid[None])
        assert logged[f"val/{name}"] == pytest.approx(float(metric.compute()), rel=1e-6)
        assert logged[f"val/{name}_clips"] == CLIPS
    assert logged["val/sync_distance"] > 0
    assert abs(logged["val/sync_offset"]) <= 15
    assert logged["val/sync_confidence_clips"] == CLIPS
    assert sync.values["val/sync_distance"] == pytest.approx(logged["val/sync_distance"], rel=1e-6)


def test_pictures_are_compared_as_the_metrics_do_and_real_ones_are_looked_at_once(tmp_path: Path) -> None:
    looks: list[int] = []

    class Watched(Averages):
        def forward(self, images: Tensor) -> Tensor:
            looks.append(len(images))
            return super().forward(images)

    frechet = FrechetCallback(network=seeded(Watched), features=8, stride=3)
    lpips = LpipsCallback("random", backbone="squeeze", stride=5)
    trainer(tmp_path, frechet, lpips, max_epochs=2).fit(ForeignModule())
    # clips of 12, 15, ... 24 frames: every third frame, starting with the fourth
    picked = [3, 4, 5, 6, 7]
    assert sum(looks) == 3 * sum(picked)
    fid = FrechetInceptionDistance(seeded(Averages), features=8)
    distance = LearnedPerceptualDistance(open_extractor("lpips_squeeze", "random"), backbone="squeeze")
    for index in range(CLIPS):
        frames, target = make_sample(index).need("frames", "target_frames")
        fid.update(frames[3::3], real=False)
        fid.update(target[3::3], real=True)
        distance.update(frames[None, 5::5], target[None, 5::5])
    assert frechet.values["val/fid"] == pytest.approx(float(fid.compute()), rel=1e-6)
    assert lpips.values["val/lpips_squeeze"] == pytest.approx(float(distance.compute()), rel=1e-6)


def test_every_kth_validation_on_chosen_clips_and_never_while_sanity_checking(tmp_path: Path) -> None:
    callback = BrightnessCallback(One(), every=2, clips=["clip1", "clip3", "absent"])
    runner = trainer(tmp_path, callback, max_epochs=4, num_sanity_val_steps=2)
    runner.fit(ForeignModule())
    assert callback.added == [(4, "clip1"), (4, "clip3"), (12, "clip1"), (12, "clip3")]
    assert float(runner.callback_metrics["val/brightness"]) == pytest.approx(brightness([1, 3]), rel=1e-6)
    assert float(runner.callback_metrics["val/brightness_clips"]) == 2
    # an explicit validation always runs, and does not shift the schedule of the training
    runner.validate(ForeignModule(), verbose=False)
    assert len(callback.added) == 6
    assert callback.state_dict() == {"validations": 4}


def test_a_resumed_run_goes_on_with_the_same_schedule(tmp_path: Path) -> None:
    first = trainer(tmp_path, BrightnessCallback(One(), every=2), max_epochs=1)
    first.fit(ForeignModule())
    first.save_checkpoint(tmp_path / "first.ckpt")
    callback = BrightnessCallback(One(), every=2)
    trainer(tmp_path, callback, max_epochs=3).fit(ForeignModule(), ckpt_path=tmp_path / "first.ckpt")
    assert sorted({step for step, _ in callback.added}) == [12]


def test_no_network_enters_a_checkpoint_or_the_module(tmp_path: Path) -> None:
    callback, module = BrightnessCallback(One()), ForeignModule()
    runner = trainer(tmp_path, callback)
    runner.fit(module)
    runner.save_checkpoint(tmp_path / "run.ckpt")
    checkpoint = torch.load(tmp_path / "run.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == {"layer.weight", "layer.bias"}
    assert checkpoint["callbacks"] == {"BrightnessCallback(brightness)": {"validations": 1}}
    assert [name for name, _ in module.named_parameters()] == ["layer.weight", "layer.bias"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_precision_of_the_training_is_none_of_the_metrics_business(precision: str, tmp_path: Path) -> None:
    callback = BrightnessCallback(One())
    runner = trainer(tmp_path, callback, precision=precision)
    runner.fit(ForeignModule())
    metric = callback.metrics[0]
    assert metric.total.dtype == torch.float64
    assert callback.network is not None
    assert callback.network.weight.dtype == torch.float32
    assert callback.values["val/brightness"] == pytest.approx(brightness(range(CLIPS)), rel=1e-6)
    assert float(runner.callback_metrics["val/brightness"]) == pytest.approx(brightness(range(CLIPS)), rel=1e-6)


def test_networks_rest_after_the_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[str] = []
    to = Extractor.to

    def watched(self: Extractor, device: torch.device | str) -> Extractor:
        moves.append(str(device))
        return to(self, device)

    monkeypatch.setattr(Extractor, "to", watched)
    released: list[int] = []
    release = Extractor.release
    monkeypatch.setattr(Extractor, "release", lambda self: (released.append(len(moves)), release(self)))
    trainer(tmp_path, BrightnessCallback(One())).validate(ForeignModule(), verbose=False)
    assert released == [CLIPS]  # once, after every clip was scored


def test_a_missing_weight_file_takes_one_warning_or_stops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runner = trainer(tmp_path, BrightnessCallback(), LandmarkDistanceCallback(), max_epochs=2)
    with caplog.at_level(logging.WARNING):
        runner.fit(ForeignModule())
        runner.validate(ForeignModule(), verbose=False)
    sentences = [record.getMessage() for record in caplog.records if "eyes.pth" in record.getMessage()]
    assert sentences == ["val/brightness will not be measured: The file eyes.pth is missing; put it there."]
    assert "val/brightness" not in runner.callback_metrics
    assert "val/landmark_distance" in runner.callback_metrics
    with pytest.raises(MissingAssetError, match=r"eyes\.pth is missing"):
        trainer(tmp_path, BrightnessCallback(strict=True)).fit(ForeignModule())


def test_a_clip_that_syncnet_cannot_judge_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    short = ClipSample("short", frames=torch.zeros(4, 3, 32, 32, dtype=torch.uint8), audio=torch.zeros(4 * 640))
    callback = SyncNetCallback(
        network=seeded(SmallSyncNet), samples=lambda outputs, batch: [*outputs["samples"], short]
    )
    trainer(tmp_path, callback).validate(ForeignModule(), verbose=False)
    assert callback.values["val/sync_distance_clips"] == CLIPS
    assert math.isfinite(callback.values["val/sync_distance"])
    assert any("Clip short has no sync scores: " in record.getMessage() for record in caplog.records)


def test_mistakes_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pass samples=FUNCTION to the callback"):
        samples_of_outputs(None, None)
    with pytest.raises(InputError, match=r"clip a has no audio and no pose"):
        ClipSample("a").need("audio", "pose")
    with pytest.raises(ConfigError, match="every must be at least 1"):
        LandmarkDistanceCallback(every=0)
    empty = trainer(tmp_path, LandmarkDistanceCallback(samples=lambda outputs, batch: [ClipSample("a")]))
    with pytest.raises(InputError, match="no landmarks and no target_landmarks"):
        empty.validate(ForeignModule(), verbose=False)


def test_picked_frames_leave_out_the_portrait() -> None:
    assert picked_frames(12, 5) == [5, 10]
    assert picked_frames(3, 5) == [2]
    assert picked_frames(1, 5) == [0]
    assert samples_of_outputs({"samples": [1]}, None) == [1]
