"""Mistakes in published training code of this field, each with a test that would have found it."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from killable import finish, log_of, start
from skimage.data import astronaut
from small import ROOT, arguments, checkpoint_of, rows_of, same

from expnet.animate.animator import Animator
from expnet.animate.controls.controls import Controls
from expnet.config import load_config
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import save_model
from expnet.training.main import build_data, train
from expnet.training.tasks.build import build_task
from expnet.training.tasks.expression_task import ExpressionTask


def test_an_epoch_sees_all_of_the_data(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Multiplying an index by the batch size skipped most of the data: count the clips of all training steps."""
    seen: list[str] = []
    step = ExpressionTask.training_step

    def counted(task: ExpressionTask, batch: object, batch_idx: int) -> torch.Tensor:
        seen.extend(batch.clip_ids)  # type: ignore[attr-defined]
        return step(task, batch, batch_idx)

    monkeypatch.setattr(ExpressionTask, "training_step", counted)
    # 70 + 80 + 90 + 100 + 110 frames in windows of 32: 14 windows, 7 batches of two.
    train(load_config(arguments("expression", store, "trainer.max_steps=7")))
    assert len(seen) == 14
    counts = Counter(seen)
    for index in range(5):
        windows = (70 + 10 * index) / 32
        assert int(windows) <= counts[f"clip{index}"] <= int(windows) + 1


def test_the_loss_of_two_clips_is_the_one_computed_by_hand(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last clip's loss overwrote the sum: 30 frames at 1 and 10 frames at 4 average to 1.75, not to 4 or 2.5."""
    config = load_config(arguments("expression", store))
    task = build_task(config, build_data(config))
    monkeypatch.setattr(task, "log", lambda *_, **__: None)
    names = list(task.sums)
    for value, frames in ((1.0, 30), (4.0, 10)):
        valid = torch.zeros(1, 50, dtype=torch.bool)
        valid[:, :frames] = True
        task.log_losses({name: torch.tensor(value) for name in names}, valid)
    for name in names:
        assert float(task.sums[name].compute()) == 1.75  # type: ignore[operator]
    assert float(task.frames.compute()) == 40


@pytest.mark.parametrize("first", [4, 6])
def test_a_resumed_run_uses_the_step_it_resumes_from(first: int, store: Path, tmp_path: Path) -> None:
    """The resumed step was computed but not used: a finished run with more steps continues in the same epoch."""
    train(load_config(arguments("expression", store, f"trainer.max_steps={first}")))
    assert checkpoint_of(tmp_path / "run")["TalkingFaceDataModule"] == {"epoch": 0, "windows_done": 2 * first}
    train(load_config(arguments("expression", store, "trainer.max_steps=8", "trainer.log_every=1")))
    steps = [int(row["step"]) for row in rows_of(tmp_path / "run") if row["train/loss"]]
    assert steps == [*range(2, first, 3), *range(first, 8)]
    optimiser = checkpoint_of(tmp_path / "run")["optimizer_states"][0]["state"]
    assert {float(state["step"]) for state in optimiser.values()} == {8.0}


def test_a_checkpoint_holds_all_that_a_run_is(whole: Callable[..., Path]) -> None:
    """A run cannot resume from checkpoints without optimiser, random state or averaged weights."""
    checkpoint = checkpoint_of(whole("expression", "data.workers=0"))
    assert {"state_dict", "optimizer_states", "lr_schedulers", "loops", "epoch", "global_step"} <= set(checkpoint)
    assert {"schema", "version", "task", "options", "notes"} == set(checkpoint["expnet"])
    assert {"config", "data", "versions", "step", "validation"} <= set(checkpoint["expnet"]["notes"])
    assert set(checkpoint["TalkingFaceDataModule"]) == {"epoch", "windows_done"}
    assert set(checkpoint["callbacks"]["RandomState"]["processes"][0]) >= {"torch", "numpy", "python"}
    weights = checkpoint["state_dict"]
    trained = {name[len("model.") :] for name in weights if name.startswith("model.")}
    averaged = {name[len("averaged.") :] for name in weights if name.startswith("averaged.")}
    assert trained == averaged
    assert int(weights["averages"]) == checkpoint["global_step"] == 12
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == 12
    assert all({"exp_avg", "exp_avg_sq"} < set(state) for state in checkpoint["optimizer_states"][0]["state"].values())


def test_a_seed_is_a_run_and_another_seed_another(store: Path, tmp_path: Path, whole: Callable[..., Path]) -> None:
    """The seeding function existed, but its call was commented out."""
    first = checkpoint_of(whole("expression", "data.workers=0"))["state_dict"]
    for seed, equal in ((0, True), (1, False)):
        folder = tmp_path / str(seed)
        assert finish(start(arguments("expression", store, f"seed={seed}"), folder)) == [0], log_of(folder)
        assert same(first, checkpoint_of(folder / "run")["state_dict"]) is equal


def test_the_best_weights_are_chosen_by_a_rule(whole: Callable[..., Path]) -> None:
    """The best checkpoint was chosen by eye in TensorBoard: best.ckpt is that of the best monitored value."""
    run = whole("expression", "data.workers=0")
    notes = checkpoint_of(run, "best")["expnet"]["notes"]
    validated = {int(row["step"]) + 1: float(row[notes["monitor"]]) for row in rows_of(run) if row["val/loss"]}
    assert len(validated) == 3
    assert notes["step"] == max(validated, key=validated.__getitem__)
    assert notes["validation"][notes["monitor"]] == pytest.approx(validated[notes["step"]], rel=1e-6)


KEY = re.compile(r"""(?ix) (api[_-]?key|token|secret|passw(or)?d) \s*[:=]\s* ['"][\w-]{16,}['"]""")


def test_no_key_is_in_the_source() -> None:
    """An API key had to be written into a source file: keys come from the environment alone."""
    planted = "0123456789abcdef" * 2
    assert KEY.search(f'wandb_api_key = "{planted}"')
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: which files are the project's own is not known")
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    sources = [ROOT / name for name in listed if name.endswith((".py", ".yaml", ".md", ".cfg", ".toml", ".sh"))]
    assert len(sources) > 100
    assert [path for path in sources if path.is_file() and KEY.search(path.read_text())] == []


def test_a_still_head_blinks(tmp_path: Path) -> None:
    """A still mode also removed the blinks: head motion, expression and blinks are controlled separately."""
    torch.manual_seed(0)
    save_model(tmp_path / "expression.safetensors", ExpressionRegressor(width=16, layers=1, heads=2))
    save_model(tmp_path / "pose.safetensors", PoseCVAE())
    animator = Animator(expression=tmp_path / "expression.safetensors", pose=tmp_path / "pose.safetensors")
    portrait = animator.portrait(np.ascontiguousarray(astronaut()[:256, 90:346]))
    sound = np.random.default_rng(0).normal(size=20 * 16000).astype(np.float32) * 0.1
    still = animator.motion(portrait, sound, controls=Controls(still=True, expression_scale=0.0))
    assert np.ptp(still.coefficients.pose, axis=0).max() == 0.0
    assert still.blink.max() > 0.9
    moving = animator.motion(portrait, sound)
    assert np.ptp(moving.coefficients.pose, axis=0).max() > 0.0
    assert np.array_equal(still.blink, moving.blink)


def test_packages_are_wanted_in_ranges() -> None:
    """Exact pins fitted a single driver or image: requirements are ranges, and the pins are in constraints.txt."""
    wanted = (ROOT / "setup.cfg").read_text().partition("install_requires =")[2].partition("\n[")[0]
    assert "torch >= " in wanted
    assert [line for line in wanted.splitlines() if "==" in line] == []
