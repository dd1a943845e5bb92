"""The tasks in a Trainer that is not ours: averages in any checkpoint, loading, testing, predicting, monitoring."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from small_tasks import QUIET, clip, expression_task, face_model, motion_task, pose_task
from torch import Tensor
from torch.utils.data import DataLoader

from expnet.data.batch import FaceBatch, collate
from expnet.data.coefficient_statistics import CoefficientStatistics
from expnet.errors import ConfigError
from expnet.face.morphable import builtin_face_model
from expnet.models.landmark_sync import LandmarkSync
from expnet.training.tasks.base_task import BaseTask, StepOutput, update_average
from expnet.training.tasks.expression_scores import ExpressionScores
from expnet.training.tasks.expression_task import ExpressionTask
from expnet.training.tasks.landmark_sync_task import LandmarkSyncTask, SyncLoss
from expnet.training.tasks.pose_task import PoseTask

TASKS = {"expression": expression_task, "pose": pose_task, "motion": motion_task}
FRAMES = {"expression": 3 * 70, "pose": 3 * 69, "motion": 3 * 70}  # the pose of the first frame is given
BUILTIN_SIZE = 64


@pytest.fixture(autouse=True)
def _without_the_hints_of_lightning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def trainer(folder: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": -1,
        "max_steps": 4,
        "logger": False,
        "enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }
    return pl.Trainer(callbacks=list(callbacks), **(quiet | options))


def training() -> DataLoader[FaceBatch]:
    return DataLoader([clip(seed, 65) for seed in range(8)], batch_size=4, collate_fn=collate)


def whole_clips() -> DataLoader[FaceBatch]:
    return DataLoader([clip(seed, 70) for seed in range(20, 23)], batch_size=1, collate_fn=collate)


class AverageByHand(pl.Callback):
    """Averages the weights after every step of the optimiser, as the formula of `update_average` says."""

    def __init__(self, task: BaseTask) -> None:
        self.average = [value.detach().clone() for value in task.model.parameters()]
        self.steps = 0

    def on_train_batch_end(self, trainer: pl.Trainer, task: BaseTask, *_: Any) -> None:
        if trainer.global_step == self.steps:
            return
        self.steps = trainer.global_step
        decay = min(task.optim.ema, (1 + self.steps) / (10 + self.steps))
        for kept, new in zip(self.average, task.model.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - decay)


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("name", TASKS)
def test_the_checkpoint_of_any_callback_has_the_average_of_its_step(
    name: str, accumulated: int, tmp_path: Path
) -> None:
    """A foreign ModelCheckpoint of step 3 held two averages; with accumulated gradients there were two per step."""
    task = TASKS[name](4)
    by_hand = AverageByHand(task)
    every_step = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    trainer(tmp_path, by_hand, every_step, accumulate_grad_batches=accumulated).fit(task, training())
    for step in range(1, 5):
        checkpoint = torch.load(tmp_path / f"step={step}.ckpt", weights_only=True)
        assert checkpoint["global_step"] == int(checkpoint["state_dict"]["averages"]) == step
    assert by_hand.steps == 4
    saved = [checkpoint["state_dict"][f"averaged.{key}"] for key, _ in task.model.named_parameters()]
    assert all(torch.equal(*pair) for pair in zip(saved, by_hand.average, strict=True))


@pytest.mark.parametrize("name", TASKS)
def test_a_module_that_was_validated_can_be_trained(name: str, tmp_path: Path) -> None:
    """Validating leaves inference tensors in the metrics, which were updated in place: a RuntimeError in fit."""
    task, alone = TASKS[name](4), TASKS[name](4)
    trainer(tmp_path).validate(task, whole_clips(), verbose=False)
    torch.manual_seed(1)
    both = trainer(tmp_path)
    both.fit(task, training(), whole_clips())
    torch.manual_seed(1)
    only = trainer(tmp_path)
    only.fit(alone, training(), whole_clips())
    assert float(both.callback_metrics["val/frames"]) == FRAMES[name]
    assert {key: float(value) for key, value in both.callback_metrics.items()} == {
        key: float(value) for key, value in only.callback_metrics.items()
    }


@pytest.mark.parametrize("name", TASKS)
def test_a_test_logs_what_a_validation_does(name: str, tmp_path: Path) -> None:
    task = TASKS[name](2)
    runner = trainer(tmp_path, max_steps=2)
    runner.fit(task, training())
    (validated,) = runner.validate(task, whole_clips(), verbose=False)
    (tested,) = runner.test(task, whole_clips(), verbose=False)
    assert validated["val/frames"] == FRAMES[name]
    assert {key.replace("val/", "test/"): value for key, value in validated.items()} == tested


def test_predicting_returns_whole_clips_of_the_averaged_network(tmp_path: Path) -> None:
    task = expression_task(2)
    runner = trainer(tmp_path, max_steps=2)
    runner.fit(task, training())
    outputs: Any = runner.predict(task, whole_clips())
    assert [output.clip_ids for output in outputs] == [("clip20",), ("clip21",), ("clip22",)]
    batch = clip(21, 70)
    assert task.averaged is not None
    with torch.no_grad():
        expected = task.predict(task.averaged.eval(), batch, batch.mel)  # type: ignore[arg-type]
    assert torch.equal(outputs[1].predicted, expected)
    assert torch.equal(outputs[1].landmarks, task.landmarks(batch.identity, expected))
    assert torch.equal(outputs[1].target, batch.expression)


def test_predicted_head_motion_is_drawn_from_the_audio_alone(tmp_path: Path) -> None:
    """A validation reconstructs the real motion; a prediction must not have seen it, and repeats itself."""
    task = pose_task(2)
    runner = trainer(tmp_path, max_steps=2)
    runner.fit(task, training())
    still = [clip(seed, 70) for seed in range(20, 23)]
    for batch in still:
        batch.rotation = batch.rotation[:, :1].expand_as(batch.rotation)
        batch.translation = batch.translation[:, :1].expand_as(batch.translation)
    moving: Any = runner.predict(task, whole_clips())
    frozen: Any = runner.predict(task, DataLoader(still, batch_size=1, collate_fn=collate))
    for one, other in zip(moving, frozen, strict=True):
        assert one.predicted.shape == (1, 70, 6)
        assert one.predicted.abs().max() > 0
        assert torch.equal(one.predicted, other.predicted)
        assert not torch.equal(one.target, other.target)


def test_a_checkpoint_can_be_chosen_by_the_monitor_of_the_task(tmp_path: Path) -> None:
    """The monitored value was logged by a callback that only our own training added."""
    task = expression_task(4)
    best = ModelCheckpoint(tmp_path, monitor=task.monitor, mode=task.monitor_mode, filename="best")
    runner = trainer(tmp_path, best, check_val_every_n_epoch=1)
    runner.fit(task, training(), whole_clips())
    assert best.best_model_path == str(tmp_path / "best.ckpt")
    assert best.best_model_score is not None
    assert best.best_model_score >= runner.callback_metrics["val/within_clip_r2"]
    assert best.mode == "max"
    runner.validate(task, whole_clips(), verbose=False)  # the callback is not added twice
    assert sum(isinstance(callback, ExpressionScores) for callback in runner.callbacks) == 1
    assert PoseTask.monitor_mode == LandmarkSyncTask.monitor_mode == "min"


def builtin_statistics() -> CoefficientStatistics:
    size = BUILTIN_SIZE
    return CoefficientStatistics(torch.zeros(size), torch.ones(size), torch.ones(6), torch.zeros(80), torch.ones(80))


def builtin_tasks(**loss: Any) -> dict[str, BaseTask]:
    """Return the tasks that need a face model, with the built-in one."""
    shared: dict[str, Any] = {
        "optim": {},
        "augment": QUIET,
        "max_steps": 1,
        "face_model": builtin_face_model(),
        "statistics": builtin_statistics(),
    }
    small = {"width": 16, "audio_channels": 8, "layers": 1}
    sync = SyncLoss(LandmarkSync(**small)) if loss else None
    return {
        "expression": ExpressionTask(options={**small, "face_model": "mediapipe468"}, loss=loss, sync=sync, **shared),
        "landmark_sync": LandmarkSyncTask(options=small, **shared),
    }


@pytest.mark.parametrize("name", ["expression", "landmark_sync"])
def test_a_checkpoint_loads_without_anything_else(name: str, tmp_path: Path) -> None:
    task = builtin_tasks()[name]
    task.notes = {"data": "somewhere"}
    saver = trainer(tmp_path)
    saver.strategy.connect(task)
    task.trainer = saver
    saver.save_checkpoint(tmp_path / "x.ckpt")
    again = type(task).load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    assert again.face_model.name == "mediapipe468"  # type: ignore[union-attr]
    assert again.notes == {"data": "somewhere"}
    saved, loaded = task.state_dict(), again.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[key], loaded[key]) for key in saved)


def test_another_face_model_is_refused() -> None:
    shared: dict[str, Any] = {"loss": {}, "optim": {}, "augment": QUIET, "max_steps": 1}
    with pytest.raises(ConfigError, match="'bfm2009', which is not built in: pass face_model=load_face_model"):
        ExpressionTask(options={"face_model": "bfm2009"}, **shared)
    with pytest.raises(ConfigError, match="'mediapipe468', not on 'toy'"):
        ExpressionTask(options={"face_model": "mediapipe468"}, face_model=face_model(), **shared)


def test_a_loss_without_its_expert_is_refused(tmp_path: Path) -> None:
    """A task loaded without its sync expert went on training with another loss."""
    task = builtin_tasks(sync_weight=0.5, sync_expert="x")["expression"]
    assert isinstance(task, ExpressionTask)
    task.setup("fit")
    task.sync = None
    with pytest.raises(ConfigError, match=r"loss\.sync_weight=0\.5 but no sync expert: pass sync=SyncLoss"):
        trainer(tmp_path).fit(task, training())


def test_a_validation_leaves_the_expert_trainable() -> None:
    """Moved to a GPU in a validation, the expert became inference tensors, and later steps had no gradient."""
    expert = LandmarkSync(width=8, audio_channels=8, layers=1).to(torch.float64)
    sync = SyncLoss(expert)
    sync.expert.to = lambda _: torch.nn.Module.to(expert, torch.float32)  # type: ignore[method-assign, assignment]
    lips, mel = torch.randn(1, 60, 68, 3, requires_grad=True), clip(0, 60).mel
    with torch.inference_mode():
        sync(lips.detach(), mel, torch.ones(1, 60, dtype=torch.bool))
    sync(lips, mel, torch.ones(1, 60, dtype=torch.bool)).backward()
    assert lips.grad is not None
    assert lips.grad.abs().sum() > 0


def test_outputs_move_between_devices() -> None:
    output = StepOutput(torch.zeros(1, 2, 6), torch.ones(1, 2, 6), torch.ones(1, 2, dtype=torch.bool), ("a",))
    moved = output.to("meta")
    assert moved.predicted.is_meta
    assert moved.valid.is_meta
    assert moved.clip_ids == ("a",)
    assert moved.landmarks is None


def test_one_update_of_the_average() -> None:
    average, model = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    before: Tensor = average.weight.detach().clone()
    update_average(average, model, decay=0.9, step=90)
    torch.testing.assert_close(average.weight.detach(), before.lerp(model.weight.detach(), 0.1))
