"""Training from the command line to the exported network, on a small synthetic store."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from killable import finish, log_of, start
from small import ROOT, make_track, rows_of

from expnet.cli import guarded
from expnet.config import load_config
from expnet.data.store.track_store import TrackStore, TrackStoreWriter
from expnet.errors import ConfigError
from expnet.models.saved_model import load_model, read_header
from expnet.training.main import main, train
from expnet.training.run_folder import RUN_VARIABLE, open_run


def smoke(task: str, store: Path, *overrides: str) -> list[str]:
    return [f"configs/smoke_{task}.yaml", f"data.store={store}", "trainer.accelerator=cpu", *overrides]


@pytest.mark.parametrize("task", ["expression", "pose"])
def test_a_run_leaves_what_the_design_says(task: str, store: Path, tmp_path: Path, capsys) -> None:
    assert main(smoke(task, store)) == 0
    assert capsys.readouterr().out.strip() == f"runs/{task}-1"
    run = tmp_path / "runs" / f"{task}-1"
    assert {path.name for path in run.iterdir()} == {
        "config.yaml",
        "command.txt",
        "versions.json",
        "metrics.csv",
        "speed.csv",
        "checkpoints",
        "model.safetensors",
    }
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert load_config([str(run / "config.yaml")]).trainer.max_steps == 6
    assert f"configs/smoke_{task}.yaml" in (run / "command.txt").read_text()
    assert json.loads((run / "versions.json").read_text())["torch"] == torch.__version__.partition("+")[0]
    rows = rows_of(run)
    assert [int(row["step"]) for row in rows if row["train/loss"]] == list(range(6))
    validated = [row for row in rows if row["val/loss"]]
    assert [int(row["step"]) for row in validated] == [2, 5]
    if task == "expression":
        assert all(float(row["val/clips"]) == 2 for row in validated)
        assert all(-1 <= float(row["val/mouth_opening_correlation"]) <= 1 for row in validated)
        assert all(row["val/within_clip_r2"] for row in validated)
    else:
        assert all(float(row["val/kl"]) >= 0 and row["val/active_units"] for row in validated)
    model = load_model(run, task)
    notes = read_header(run / "model.safetensors")["notes"]
    assert notes["data"]["splits"]["train"] == {
        "clips": 5,
        "frames": 450,
        "speakers": 5,
        "corpora": notes["data"]["splits"]["train"]["corpora"],
    }
    assert notes["data"]["stores"] == [{"name": "store", "fingerprint": TrackStore(store).fingerprint()}]
    assert notes["step"] in (3, 6)  # of the best checkpoint
    best = next(row for row in validated if int(row["step"]) == notes["step"] - 1)
    assert notes["validation"]["val/loss"] == pytest.approx(float(best["val/loss"]), rel=1e-5)
    assert notes["config"]["trainer"]["max_steps"] == 6
    assert sum(parameter.numel() for parameter in model.parameters()) > 1000
    assert not list(run.rglob("*.partial*"))


def test_the_second_run_gets_a_folder_of_its_own_and_the_same_numbers(store: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        assert main(smoke("expression", store)) == 0
        assert (tmp_path / "runs" / f"expression-{number}" / "model.safetensors").is_file()
    first, second = (rows_of(tmp_path / "runs" / f"expression-{number}") for number in (1, 2))
    assert first == second


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("expression", ()),
        ("pose", ()),
        ("expression", ("data.augment_on=device", "data.noise_snr=5", "data.reverberation=0.5", "data.babble=0.5")),
    ],
)
def test_a_resumed_run_equals_one_that_was_not_stopped(
    task: str, options: tuple[str, ...], store: Path, tmp_path: Path
) -> None:
    shared = ("trainer.validate_every=4", "optim.ema=0.9", *options)
    train(load_config(smoke(task, store, "output=whole", "trainer.max_steps=8", *shared)))
    # The same run, interrupted after four of its eight steps.
    stopped = load_config(smoke(task, store, "output=parts", "trainer.max_steps=8", *shared))
    import pytorch_lightning as pl

    class Stop(pl.Callback):
        def on_train_batch_start(self, trainer, *_) -> None:
            if trainer.global_step == 4:
                raise RuntimeError("stopped on purpose")

    import expnet.training.main as training

    build = training.build_trainer

    def with_stop(*arguments):
        trainer = build(*arguments)
        trainer.callbacks.insert(0, Stop())
        return trainer

    training.build_trainer = with_stop
    try:
        with pytest.raises(RuntimeError, match="stopped on purpose"):
            train(stopped)
    finally:
        training.build_trainer = build
    train(load_config(smoke(task, store, "output=parts", "ckpt=last", "trainer.max_steps=8", *shared)))
    whole, parts = (
        torch.load(Path(run) / "checkpoints" / "last.ckpt", weights_only=True) for run in ("whole", "parts")
    )
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name
    assert rows_of(Path("whole")) == rows_of(Path("parts"))
    assert len(Path("parts/command.txt").read_text().splitlines()) == 2


def test_going_on_from_nothing_starts_anew(store: Path) -> None:
    train(load_config(smoke("pose", store, "output=new", "ckpt=last")))
    assert Path("new/model.safetensors").is_file()
    # resuming a finished run does nothing
    train(load_config(smoke("pose", store, "output=new", "ckpt=last")))


def test_starting_from_a_trained_model(store: Path, tmp_path: Path, capsys) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(load_config(smoke("expression", store, f"output={first}")))
    # one step with a negligible learning rate, so that the weights stay the initial ones
    still = ("trainer.max_steps=1", "trainer.validate_every=1", "optim.lr=1e-12", "optim.warmup_steps=0")
    train(load_config(smoke("expression", store, f"output={second}", f"init={first}", *still)))
    before, after = (load_model(run, "expression").state_dict() for run in (first, second))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0, msg=name)

    assert guarded(lambda: main(smoke("expression", store, f"init={first}", "model.width=20"))) == 2
    assert "another shape" in capsys.readouterr().err
    assert guarded(lambda: main(smoke("pose", store, f"init={first}"))) == 2
    assert "task 'expression'" in capsys.readouterr().err


def test_training_without_validation_speakers(tmp_path: Path) -> None:
    with TrackStoreWriter(tmp_path / "one") as writer:
        writer.add(make_track(0, 90, "train"))
        writer.finish()
    run = train(load_config(smoke("expression", tmp_path / "one", "output=alone")))
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt"}
    assert load_model(run, "expression")


def test_mistakes_take_one_sentence(store: Path, tmp_path: Path, capsys) -> None:
    def sentence(*arguments: str) -> str:
        assert guarded(lambda: main(list(arguments))) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        return error

    assert "data.store is missing" in sentence("configs/pose.yaml")
    assert "nowhere" in sentence("configs/pose.yaml", "data.store=nowhere")
    assert "No task was given" in sentence()
    assert "Did you mean: 'lr'?" in sentence("configs/pose.yaml", "optim.lrr=1")
    assert "There is no checkpoint gone.ckpt" in sentence(*smoke("pose", store, "ckpt=gone.ckpt"))
    (tmp_path / "file").write_text("")
    assert "is a file; give a folder" in sentence(*smoke("pose", store, "output=file"))
    assert main(smoke("pose", store, "output=run")) == 0
    capsys.readouterr()
    assert "run already contains a run: give ckpt=last" in sentence(*smoke("pose", store, "output=run"))
    assert "is a checkpoint of the task 'pose', but this run trains 'expression'" in sentence(
        *smoke("expression", store, "ckpt=run/checkpoints/last.ckpt", "output=other")
    )
    assert "was made with another network: width differ" in sentence(
        *smoke("pose", store, "output=run", "ckpt=last", "model.width=32")
    )
    (tmp_path / "bad.ckpt").write_text("hello")
    assert "bad.ckpt is not a checkpoint of expnet" in sentence(*smoke("pose", store, "output=x", "ckpt=bad.ckpt"))


def test_help_and_print_config(capsys) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "usage: python train.py" in text
    assert "model.attention_bias: alibi|alibi_causal" in text
    assert main(["configs/pose.yaml", "--help"]) == 0
    assert "model.latent: whole number = 32" in capsys.readouterr().out
    assert main(["configs/pose.yaml", "model.latent=5", "--print-config"]) == 0
    assert "latent: 5" in capsys.readouterr().out


def test_the_script_answers_without_the_heavy_packages(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); sys.argv = ['train.py', 'configs/pose.yaml', '--print-config']\n"
        "import runpy\n"
        "try:\n    runpy.run_path('train.py', run_name='__main__')\n"
        "except SystemExit as stop:\n    sys.exit(stop.code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "task: pose" in done.stdout


def test_two_processes_score_like_one(store: Path, tmp_path: Path) -> None:
    """Three validation clips over two processes: each clip is counted exactly once."""
    one_step = ("data.limit_validation_clips=null", "trainer.max_steps=1", "trainer.validate_every=1", "optim.lr=1e-12")
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        started = start(smoke("expression", store, *one_step, "output=run"), folder, processes=processes)
        assert finish(started) == [0] * processes, log_of(folder)
    one, two = (next(row for row in rows_of(tmp_path / name / "run") if row["val/loss"]) for name in "12")
    assert float(one["val/clips"]) == float(two["val/clips"]) == 3
    for name in ("val/loss", "val/within_clip_r2", "val/mouth_opening_correlation", "val/landmark_loss"):
        assert float(one[name]) == pytest.approx(float(two[name]), abs=1e-5), name


def test_wandb_works_offline(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = train(load_config(smoke("expression", store, "output=logged", "logger.wandb=true")))
    assert list(run.glob("wandb/offline-run-*/run-*.wandb"))
    assert rows_of(run)


def test_tensorboard(store: Path) -> None:
    pytest.importorskip("tensorboard")
    run = train(load_config(smoke("pose", store, "output=board", "logger.tensorboard=true")))
    assert list(run.glob("tensorboard/events*"))


def test_run_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_run(task="pose", output=None, ckpt=None).path == Path("runs/pose-1")
    assert open_run(task="pose", output=None, ckpt=None).path == Path("runs/pose-1")  # a child of the same run
    monkeypatch.delenv(RUN_VARIABLE)
    for name in ("pose-2", "pose-10", "pose-x", "expression-30"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert open_run(task="pose", output=None, ckpt="last").path == Path("runs/pose-10")
    monkeypatch.delenv(RUN_VARIABLE)
    assert open_run(task="pose", output=None, ckpt=None).path == Path("runs/pose-11")
    monkeypatch.delenv(RUN_VARIABLE)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ConfigError, match="give output=FOLDER"):
        open_run(task="pose", output=None, ckpt=None, processes=2)
