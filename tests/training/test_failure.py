"""A run whose loss is NaN or explodes stops, names the clips, and saves the step so that it can be replayed."""

import json
import math
from pathlib import Path

import planted
import pytest
import torch
from killable import start
from safetensors import safe_open
from small import arguments, checkpoint_of, rows_of

from expnet.cli import guarded
from expnet.cli import main as command_line
from expnet.errors import ExpnetError, InputError
from expnet.training.callbacks import bad_loss as failure
from expnet.training.main import main
from expnet.training.replay import replay
from expnet.training.saved_step import SavedStep
from expnet.training.tasks.base_task import BaseTask

WILD = ("optim.lr=5", "optim.warmup_steps=0", "optim.gradient_clip=0", "trainer.explosion=2")


@pytest.fixture(autouse=True)
def _hooks_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("on_before_batch_transfer", "on_after_backward"):
        monkeypatch.setattr(BaseTask, name, getattr(BaseTask, name))


def stop(*given: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Train until the run stops, and return its error message."""
    assert guarded(lambda: main(given)) == 1
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("task", ["expression", "pose"])
def test_a_number_that_is_none(task: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted.bad_target(5)
    sentence = stop(*arguments(task, store), capsys=capsys)
    path = Path("run/failure/step_000005.safetensors")
    step = SavedStep.load(path)
    assert f"The loss became nan at step 5 on {', '.join(step.batch.clip_ids)}; 'expnet replay {path}'" in sentence
    assert [int(row["step"]) for row in rows_of(Path("run"))][-1] <= 5
    # the weights are those of before the step, and the last checkpoint is one that was validated
    assert all(step.weights[name].isfinite().all() for name, _ in step.build_task().named_parameters())
    assert checkpoint_of(Path("run"))["global_step"] == 4
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["expnet_reproducer"])
    assert about["notes"]["config"]["data"]["store"] == str(store)
    assert about["notes"]["data"]["stores"][0]["fingerprint"]

    assert command_line(["replay", str(path), "--accelerator", "cpu"]) == 0
    said = capsys.readouterr().out
    name = "expression" if task == "expression" else "rotation"
    assert f"{name} is not finite in {step.batch.clip_ids[1]}" in said
    assert "again: loss nan, gradient norm nan" in said


@pytest.mark.parametrize("task", ["expression", "pose", "motion"])
def test_an_exploding_loss_is_replayed_bit_for_bit(
    task: str, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(failure, "FIRST_STEPS", 2)
    sentence = stop(*arguments(task, store, *WILD), capsys=capsys)
    assert "The loss exploded to" in sentence
    (path,) = Path("run/failure").iterdir()
    step = SavedStep.load(path)
    assert step.about["step"] >= 2
    again = replay(step, accelerator="cpu")
    assert (again.loss, again.gradient_norm) == (step.about["loss"], step.about["gradient_norm"])
    assert math.isfinite(again.loss)
    assert again.terms["train/loss"] == pytest.approx(again.loss)
    assert (again.inputs, again.weights, again.layer) == ({}, (), "")
    # the random state matters: dropout and augmentation draw from it
    other = SavedStep(step.batch, step.weights, {"cpu": torch.Generator().manual_seed(1).get_state()}, step.about)
    assert replay(other, accelerator="cpu").loss != again.loss


def test_steps_of_a_sync_expert_and_under_it_are_replayed(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_expert = ["configs/landmark_sync.yaml", *arguments("expression", store)[1:]]
    assert main([*of_expert, "output=expert", "trainer.max_steps=2"]) == 0
    judged = arguments("expression", store, f"loss.sync_expert={Path('expert').resolve()}", "loss.sync_weight=1")
    for task, given in {"landmark_sync": of_expert, "expression": judged}.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseTask, "on_after_backward", BaseTask.on_after_backward)  # restored at the end
            planted.bad_gradient(3)
            stop(*given, f"output=broken_{task}", capsys=capsys)
        step = SavedStep.load(f"broken_{task}/failure/step_000003.safetensors")
        assert step.about["task"] == task
        assert replay(step, accelerator="cpu").loss == step.about["loss"]


def test_zero_never_calls_it_an_explosion(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "FIRST_STEPS", 2)
    assert main(arguments("expression", store, *WILD, "trainer.explosion=0", "trainer.max_steps=6")) == 0
    assert not Path("run/failure").exists()


def test_a_gradient_that_is_no_number(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseTask, "on_after_backward", BaseTask.on_after_backward)  # restored at the end
        planted.bad_gradient(3)
        assert "The gradient became inf at step 3 on clip" in stop(*arguments("expression", store), capsys=capsys)
    step = SavedStep.load("run/failure/step_000003.safetensors")
    again = replay(step, accelerator="cpu")
    assert again.loss == step.about["loss"]
    assert math.isfinite(again.gradient_norm)  # the fault was not in the step


def test_the_layer_in_which_it_begins(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted.bad_gradient(3)
    stop(*arguments("expression", store), capsys=capsys)
    step = SavedStep.load("run/failure/step_000003.safetensors")
    weights = {name: value.clone() for name, value in step.weights.items()}
    name = next(name for name in weights if name.startswith("model.") and name.endswith("norm.weight"))
    weights[name][0] = torch.inf
    found = replay(SavedStep(step.batch, weights, step.random, step.about), accelerator="cpu")
    assert found.weights == (name,)
    assert found.layer == name.removesuffix(".weight")
    assert name in found.describe()


@pytest.mark.slow
def test_all_processes_stop_at_the_same_step(store: Path, tmp_path: Path) -> None:
    processes = start(arguments("expression", store), tmp_path / "two", processes=2, point=(planted.bad_target, 5))
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [1, 1]
    names = sorted(path.name for path in (tmp_path / "two/run/failure").iterdir())
    assert names == [f"step_000005_process_{rank}.safetensors" for rank in range(2)]
    reasons = [SavedStep.load(tmp_path / "two/run/failure" / name).about["reason"] for name in names]
    assert reasons[1] == "The loss became nan"
    assert reasons[0] == "The gradient became nan"  # which is averaged over all processes


def test_a_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"hello")
    for name in ("x.safetensors", "gone.safetensors"):
        with pytest.raises(InputError, match="is not a saved training step"):
            SavedStep.load(tmp_path / name)
    assert issubclass(InputError, ExpnetError)
