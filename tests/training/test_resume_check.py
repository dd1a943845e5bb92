"""What a resumed run may change, and a run folder that was moved."""

import shutil
from pathlib import Path

import pytest
import torch
from small import arguments, checkpoint_of, rows_of, write_store

from expnet.errors import ConfigError
from expnet.training.main import main


@pytest.fixture
def given(store: Path) -> list[str]:
    """The arguments of a run that has made four of its twelve steps."""
    given = arguments("expression", store)
    assert main([*given, "trainer.max_steps=4"]) == 0
    return given


def test_a_changed_option_is_refused_by_its_name(given: list[str]) -> None:
    config = Path("run/config.yaml").read_text()
    for override, sentence in {
        "optim.lr=1": "was trained with optim.lr=0.001, not 1.0: leave it as it was, or start a new run",
        "seed=3": "was trained with seed=0, not 3",
        "data.batch_size=3": "was trained with data.batch_size=2, not 3",
        "loss.velocity_weight=0.125": "was trained with loss.velocity_weight=",
        "data.limit_validation_clips=1": "was trained with data.limit_validation_clips=null, not 1",
        "trainer.monitor=val/loss": "was trained with trainer.monitor=null, not val/loss",
        "init=run/model.safetensors": "was trained with init=null, not run/model.safetensors",
    }.items():
        with pytest.raises(ConfigError) as caught:
            main([*given, override])
        assert sentence in str(caught.value)
        assert "init=run/checkpoints/last.ckpt" in str(caught.value)
    with pytest.raises(ConfigError, match=r"optim.lr=0.001, not 1.0 \(and optim.ema differ\)"):
        main([*given, "optim.lr=1", "optim.ema=.5"])
    assert Path("run/config.yaml").read_text() == config


def test_other_clips_are_refused_and_a_moved_store_is_not(given: list[str], store: Path, tmp_path: Path) -> None:
    other = write_store(tmp_path / "other", train=4, validation=2)
    with pytest.raises(ConfigError, match=r"on other clips than those of data\.store"):
        main([*given, f"data.store={other}"])
    moved = shutil.copytree(store, tmp_path / "moved")
    assert main([*given, f"data.store={moved}"]) == 0
    assert checkpoint_of(Path("run"))["global_step"] == 12


def test_harmless_options_may_change(given: list[str]) -> None:
    free = ("trainer.log_every=1", "trainer.validate_every=3", "logger.project=other", "data.workers=1")
    assert main([*given, *free, "trainer.timeout=60", "trainer.explosion=0", "metrics.clips=3"]) == 0
    assert [row["step"] for row in rows_of(Path("run")) if row["val/loss"]] == ["3", "5", "8", "11"], Path(
        "run/metrics.csv"
    ).read_text()


def test_an_older_checkpoint_without_a_key_had_its_default(given: list[str]) -> None:
    path = Path("run/checkpoints/last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["expnet"]["notes"]["config"]["trainer"]["timeout"]
    del checkpoint["expnet"]["notes"]["config"]["optim"]["gradient_clip"]
    torch.save(checkpoint, path)
    with pytest.raises(ConfigError, match=r"optim.gradient_clip=1.0, not 2.0"):
        main([*given, "optim.gradient_clip=2"])
    assert main(given) == 0


def _claim_that_the_best_was_perfect(run: Path) -> None:
    """Let a checkpoint say that best.ckpt has a score that no later validation reaches."""
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    (state,) = (state for name, state in checkpoint["callbacks"].items() if "Checkpoint" in name and "'val/" in name)
    perfect = torch.tensor(1e9)
    state["best_model_score"] = state["kth_value"] = state["current_score"] = perfect
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], perfect)
    torch.save(checkpoint, path)


@pytest.mark.parametrize("monitor", ["val/within_clip_r2", "val/mouth_opening_correlation"])
def test_a_copied_run_keeps_its_best(monitor: str, store: Path, tmp_path: Path) -> None:
    """Lightning forgot the best score of a folder with another name, and a worse checkpoint replaced best.ckpt."""
    given = arguments("expression", store, f"trainer.monitor={monitor}")
    assert main([*given, "trainer.max_steps=4"]) == 0
    _claim_that_the_best_was_perfect(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    for name in ("copy", "moved"):
        best = (tmp_path / name / "checkpoints" / "best.ckpt").read_bytes()
        assert main([*given, f"output={name}", "trainer.max_steps=8"]) == 0
        assert (tmp_path / name / "checkpoints" / "best.ckpt").read_bytes() == best
        assert checkpoint_of(tmp_path / name)["global_step"] == 8


def test_a_checkpoint_from_elsewhere_starts_with_its_own_best(given: list[str], tmp_path: Path) -> None:
    _claim_that_the_best_was_perfect(tmp_path / "run")
    elsewhere = [layer for layer in given if layer not in ("ckpt=last", "output=run")]
    assert main([*elsewhere, "output=new", f"ckpt={tmp_path / 'run/checkpoints/last.ckpt'}"]) == 0
    assert checkpoint_of(tmp_path / "new", "best")["global_step"] > 4


def test_the_checkpoint_states_keep_their_names(given: list[str]) -> None:
    """Checkpoints of before hold the best score under the names of Lightning's class and of the monitored one."""
    names = [name.partition("{")[0] for name in checkpoint_of(Path("run"))["callbacks"] if "Checkpoint" in name]
    assert sorted(names) == ["ModelCheckpoint", "MonitoredCheckpoint"]
