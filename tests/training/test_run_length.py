"""What ends a run, what is added up for a step, and which checkpoints a run keeps."""

from pathlib import Path

import pytest
import torch
from killable import asked_to_leave, finish, in_a_step, log_of, start
from small import arguments, checkpoint_of, rows_of, same
from test_resume import assert_same_run

from expnet.config import load_config
from expnet.errors import ConfigError
from expnet.training.main import train

SMALL = ("model.width=16", "model.layers=1", "ckpt=null")


def run(store: Path, *overrides: str) -> Path:
    return train(load_config(arguments("expression", store, *SMALL, *overrides)))


def steps_of(path: Path) -> list[int]:
    return [int(row["step"]) for row in rows_of(path) if row.get("val/loss")]


@pytest.mark.parametrize(
    "options",
    [
        ("trainer.accumulate=3", "optim.schedule=inverse_sqrt", "trainer.save_every=5"),
        ("optim.schedule=constant", "trainer.activation_checkpointing=true"),
        pytest.param(
            ("optim.optimizer=muon", "trainer.accumulate=2"),
            marks=pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="needs torch.optim.Muon"),
        ),
    ],
)
def test_a_killed_run_goes_on_exactly(options: tuple[str, ...], store: Path, tmp_path: Path) -> None:
    given = arguments("expression", store, "data.workers=0", *options)
    assert finish(start(given, tmp_path / "whole")) == [0], log_of(tmp_path / "whole")
    assert finish(start(given, tmp_path / "parts", point=(in_a_step, 6)))[0] < 0
    assert finish(start(given, tmp_path / "parts")) == [0], log_of(tmp_path / "parts")
    assert_same_run(tmp_path / "whole" / "run", tmp_path / "parts" / "run")


def test_a_signal_waits_for_the_step_of_the_gradients(store: Path, tmp_path: Path) -> None:
    given = arguments("expression", store, "data.workers=0", "trainer.accumulate=3")
    assert finish(start(given, tmp_path / "whole")) == [0], log_of(tmp_path / "whole")
    finish(start(given, tmp_path / "parts", point=(asked_to_leave, 6)))
    assert checkpoint_of(tmp_path / "parts" / "run")["global_step"] == 6
    assert finish(start(given, tmp_path / "parts")) == [0], log_of(tmp_path / "parts")
    assert_same_run(tmp_path / "whole" / "run", tmp_path / "parts" / "run")


def test_accumulated_batches_make_the_step_of_one_large_batch(store: Path) -> None:
    """Without anything random in the loss, the gradient of two batches is that of their windows together."""
    still = ("model.dropout=0", "model.stochastic_depth=0", "model.first_frame_dropout=0", "data.noise_snr=null")
    still += ("data.gain_decibels=0", "data.silent_share=0", "optim.ema=0", "loss.balance=0", "trainer.max_steps=3")
    still += tuple(f"augment.{name}=0" for name in ("gain", "tilt", "warp", "floor", "noise"))
    still += ("augment.time_masks=0", "augment.band_masks=0", "trainer.validate_every=3", "optim.warmup_steps=0")
    added = run(store, *still, "data.batch_size=2", "trainer.accumulate=2", "output=added")
    large = run(store, *still, "data.batch_size=4", "output=large")
    ours, theirs = (checkpoint_of(path)["state_dict"] for path in (added, large))
    assert checkpoint_of(added)["global_step"] == 3
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=2e-3, msg=name)
    moved = [name for name, value in ours.items() if "weight" in name and not torch.equal(value, theirs[name])]
    assert len(moved) < len(ours)


def test_epochs_take_the_place_of_steps(store: Path) -> None:
    path = run(store, "trainer.max_epochs=2", "data.window=32", "trainer.max_steps=1000")
    checkpoint = checkpoint_of(path)
    # 450 frames make 14 windows of 32 frames, 7 batches of 2.
    assert checkpoint["global_step"] == 14
    assert load_config([str(path / "config.yaml")]).trainer.max_steps == 14
    added = run(store, "trainer.max_epochs=2", "data.window=32", "trainer.accumulate=3", "output=added")
    assert checkpoint_of(added)["global_step"] == 4  # a step of three batches takes 6 of the 14 windows


def test_a_run_ends_when_its_time_is_up(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = run(store, "trainer.max_steps=100000", "trainer.validate_every=100000", "trainer.max_time=00:00:00:01")
    ended = checkpoint_of(path)["global_step"]
    assert 0 < ended < 100000
    assert steps_of(path) == [ended - 1]  # it ends with a validation
    assert f"Ends after step {ended}, as trainer.max_time is over." in caplog.text
    again = run(store, f"ckpt={path}/checkpoints/last.ckpt", "trainer.max_steps=100000", "trainer.max_time=00:00:00:01")
    assert checkpoint_of(path)["global_step"] == ended  # its time was up already
    assert (again / "model.safetensors").is_file()


def test_a_run_without_progress_ends(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    still = ("optim.lr=1e-30", "trainer.validate_every=2", "trainer.max_steps=40", "trainer.early_stopping=3")
    path = run(store, *still)
    assert len(steps_of(path)) < 12
    assert "has not become better in 3 validations (trainer.early_stopping)" in caplog.text
    ended = checkpoint_of(path)["global_step"]
    train(load_config(arguments("expression", store, *SMALL, *still, "ckpt=last")))
    assert checkpoint_of(path)["global_step"] == ended


def test_checkpoints_are_kept(store: Path) -> None:
    options = ("trainer.keep_every=5", "trainer.keep_best=2", "trainer.validate_every=3", "trainer.accumulate=2")
    path = run(store, *options)
    names = {file.name for file in (path / "checkpoints").iterdir()}
    assert {"best.ckpt", "last.ckpt", "step_000005.ckpt", "step_000010.ckpt"} <= names
    best = sorted(name for name in names if name.startswith("best_"))
    assert len(best) == 2
    scores = {int(row["step"]) + 1: float(row["val/within_clip_r2"]) for row in rows_of(path) if row["val/loss"]}
    top = sorted(scores, key=lambda step: -scores[step])[:2]
    assert best == sorted(f"best_{step:06d}.ckpt" for step in top)
    # A run goes on exactly from a checkpoint that was kept between two validations.
    again = run(store, *options, f"ckpt={path}/checkpoints/step_000005.ckpt", "output=again")
    first, second = (checkpoint_of(one) for one in (path, again))
    assert same(first["state_dict"], second["state_dict"])
    assert same(first["optimizer_states"], second["optimizer_states"])
    rows = {row["step"]: row for row in rows_of(path)}
    later = [row for row in rows_of(again) if row["val/loss"]]
    assert later
    assert all(row["val/loss"] == rows[row["step"]]["val/loss"] for row in later)


def test_activation_checkpointing_changes_no_bit(store: Path) -> None:
    plain, thrifty = (
        run(store, f"trainer.activation_checkpointing={value}", f"output={value}") for value in ("false", "true")
    )
    assert same(checkpoint_of(plain)["state_dict"], checkpoint_of(thrifty)["state_dict"])
    with pytest.raises(ConfigError, match="for the blocks of a Transformer, of which this network has none"):
        run(store, "trainer.activation_checkpointing=true", "model.temporal_module=conv", "output=conv")


def test_the_learning_rate_is_logged(store: Path) -> None:
    path = run(store, "trainer.log_every=1", "optim.schedule=inverse_sqrt", "optim.warmup_steps=3", "optim.lr=0.01")
    rates = [float(row["train/learning_rate"]) for row in rows_of(path) if row["train/loss"]]
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert rates[11] == pytest.approx(0.01 * (4 / 12) ** 0.5)


@pytest.mark.parametrize(("profiler", "action"), [("simple", "run_training_batch"), ("pytorch", "aten::")])
def test_a_profile_is_written_beside_the_speed(profiler: str, action: str, store: Path) -> None:
    path = run(store, f"trainer.profiler={profiler}", "trainer.max_steps=8", "trainer.validate_every=8")
    text = "".join(file.read_text() for file in path.glob("fit-profile-*.txt"))
    assert action in text
    assert bool(list(path.glob("fit-profile-*.trace.json"))) == (profiler == "pytorch")
    assert "speed/data_wait_share" in (path / "speed.csv").read_text()


def test_wrong_lengths_and_strategies_are_refused(store: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer.max_time must be DD:HH:MM:SS"):
        run(store, "trainer.max_time=12h")
    with pytest.raises(ConfigError, match=r"trainer.max_epochs must be 1 or more, or null, not 0"):
        run(store, "trainer.max_epochs=0")
    with pytest.raises(ConfigError, match=r"trainer.strategy=fsdp divides the weights among processes"):
        run(store, "trainer.strategy=fsdp")
    with pytest.raises(ConfigError, match=r"this training draws pairs of frames: set trainer.max_steps"):
        load_config(["configs/renderer.yaml", "trainer.max_epochs=2"])
