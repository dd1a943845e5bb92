"""What a run logs beside metrics.csv: speed, gradient norms, Weights & Biases, TensorBoard."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero
from small import ROOT, arguments, rows_of
from torch.utils.data import DataLoader
from wandb_file import read_records

from expnet.config import LoggerConfig
from expnet.training.callbacks.gradient_norm import GradientNorm
from expnet.training.callbacks.throughput import FetchClock, Throughput
from expnet.training.loggers import WANDB_ID, build_loggers
from expnet.training.main import main
from expnet.training.run_folder import RunDirectory
from expnet.training.tasks.base_task import BaseTask


class Slope(pl.LightningModule):
    """A model with the loss 3 a + 4 b, whose gradient is (3, 4), and steps of a given duration."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))
        self.seconds = seconds

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        time.sleep(self.seconds)
        return (self.weight * torch.tensor([3.0, 4.0])).sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        time.sleep(0.3)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Slow(torch.utils.data.Dataset[int]):
    """Items that take a given time to load."""

    def __init__(self, seconds: float, length: int = 8) -> None:
        self.seconds, self.length = seconds, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        time.sleep(self.seconds)
        return index


def speeds(path: Path) -> list[dict[str, float]]:
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def fit(tmp_path: Path, *, fetch: float, compute: float, **options: Any) -> list[dict[str, float]]:
    """Train eight steps with a validation after every four, and return the rows of speed.csv."""
    data, model = Slow(fetch), Slope(compute)
    throughput = Throughput(tmp_path / "speed.csv", count=lambda batch: 50)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        val_check_interval=4,
        log_every_n_steps=2,
        callbacks=[throughput],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(model, DataLoader(data, batch_size=None), DataLoader(Slow(0.0, 1), batch_size=None))
    return speeds(tmp_path / "speed.csv")


def test_throughput_and_the_wait_for_data(tmp_path: Path) -> None:
    slow_data = fit(tmp_path / "data", fetch=0.03, compute=0.01, profiler=FetchClock())
    slow_step = fit(tmp_path / "step", fetch=0.0, compute=0.04, profiler=FetchClock())
    for rows in (slow_data, slow_step):
        assert [row["step"] for row in rows] == [1, 3, 5, 7]
        # 50 frames in 40 ms or more; the validation of 300 ms is not part of it
        assert all(300 < row["speed/frames_per_second"] <= 1250 for row in rows)
    assert all(0.4 < row["speed/data_wait_share"] < 0.9 for row in slow_data)
    assert all(row["speed/data_wait_share"] < 0.2 for row in slow_step)


def test_without_its_clock_the_wait_is_not_made_up(tmp_path: Path) -> None:
    assert set(fit(tmp_path, fetch=0.0, compute=0.001)[0]) == {"step", "speed/frames_per_second"}


def test_accumulated_batches_make_one_row_a_step(tmp_path: Path) -> None:
    rows = fit(tmp_path, fetch=0.0, compute=0.01, accumulate_grad_batches=2)
    assert [row["step"] for row in rows] == [1, 3]
    assert all(0 < row["speed/frames_per_second"] <= 5000 for row in rows)


def test_the_memory_of_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**29)
    monkeypatch.setattr(Slope, "device", torch.device("cuda"))
    assert fit(tmp_path, fetch=0.0, compute=0.001)[0]["speed/gpu_memory_gib"] == 1.5


def test_the_gradient_norm_is_that_before_clipping() -> None:
    watch = GradientNorm()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=1,
        gradient_clip_val=0.1,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        limit_val_batches=0,
    )
    model = Slope()
    trainer.fit(model, DataLoader(Slow(0.0), batch_size=None))
    assert float(watch.value) == 5
    assert float(trainer.callback_metrics["train/gradient_norm"]) == 5
    assert float(model.weight.detach().norm()) == pytest.approx(0.1 * 0.1)  # clipped


@pytest.mark.parametrize("task", ["expression", "pose"])
def test_a_run_writes_speed_and_gradients(task: str, store: Path) -> None:
    assert main(arguments(task, store)) == 0
    rows = speeds(Path("run/speed.csv"))
    assert [row["step"] for row in rows] == [2, 5, 8, 11]
    assert all(row["speed/frames_per_second"] > 0 and 0 <= row["speed/data_wait_share"] <= 1 for row in rows)
    trained = [row for row in rows_of(Path("run")) if row["train/loss"]]
    assert all(float(row["train/gradient_norm"]) > 0 for row in trained)
    # Times differ from run to run, metrics.csv must not.
    assert not any(name.startswith("speed/") for name in rows_of(Path("run"))[0])


def sessions(folder: Path) -> list[list[Any]]:
    """The records that a run sent to W&B, by session; W&B's own process may write them after the run has ended."""
    paths = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert {path.stem for path in paths} == {f"run-{(folder / WANDB_ID).read_text().strip()}"}
    for _ in range(100):
        found = [list(read_records(path)) for path in paths]
        if all(any(record.HasField("exit") for record in records) for records in found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"W&B has not finished {paths}")


def history(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's W&B history, in order, over all sessions."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for records in sessions(folder)
        for record in records
        if record.HasField("history")
    ]


def artifacts(folder: Path) -> dict[str, list[str]]:
    """The files of the artifacts that a run logged to W&B, by artifact name."""
    found = [
        record.artifact if record.HasField("artifact") else record.request.log_artifact.artifact
        for records in sessions(folder)
        for record in records
        if record.HasField("artifact") or record.request.HasField("log_artifact")
    ]
    return {artifact.name: sorted(entry.path for entry in artifact.manifest.contents) for artifact in found}


def train_in_two_parts(given: list[str]) -> None:
    """Interrupt a run in its eleventh step, two after its last checkpoint, and resume it."""

    def break_off(task: BaseTask) -> None:
        if task.global_step == 10:
            raise RuntimeError("interrupted on purpose")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseTask, "on_after_backward", break_off)
        with pytest.raises(RuntimeError, match="on purpose"):
            main(given)
    assert main(given) == 0


def test_a_resumed_run_goes_on_with_its_wandb_curves(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train_in_two_parts(arguments("expression", store, "logger.wandb=true"))
    rows = history(Path("run"))
    losses = [(row["trainer/global_step"], row["train/loss"]) for row in rows if "train/loss" in row]
    # Step 8 came after the checkpoint, so it was run twice, with the same result.
    assert [step for step, _ in losses] == [2, 5, 8, 8, 11]
    written = {int(row["step"]): float(row["train/loss"]) for row in rows_of(Path("run")) if row["train/loss"]}
    assert losses == [(step, pytest.approx(written[step])) for step, _ in losses]
    assert [row["trainer/global_step"] for row in rows if "val/loss" in row] == [3, 7, 11]
    assert sum("speed/frames_per_second" in row for row in rows) == 5
    identity = Path("run", WANDB_ID).read_text().strip()
    found = artifacts(Path("run"))
    assert found[f"run-{identity}"] == ["command.txt", "config.yaml", "versions.json"]
    assert [files for name, files in found.items() if name.startswith("data-")] == [["data.json"]]


@pytest.mark.parametrize("kind", ["train", "ablation"])
def test_a_wandb_run_says_where_it_belongs(kind: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    said = ["logger.wandb=true", "logger.entity=lab", "logger.group=table-2", "logger.tags=[alibi,first]"]
    chosen = [f"logger.job_type={kind}"] if kind != "train" else []
    assert main([*arguments("expression", store, "trainer.max_steps=1"), *said, *chosen]) == 0
    (run,) = (record.run for records in sessions(Path("run")) for record in records if record.HasField("run"))
    assert (run.entity, run.run_group, run.job_type, list(run.tags)) == ("lab", "table-2", kind, ["alibi", "first"])


@pytest.mark.parametrize("known", [{}, {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:1"}])
def test_wandb_without_a_key_or_a_network_stays_offline(known: dict[str, str], store: Path, tmp_path: Path) -> None:
    """Without key, netrc and network, and with a key but no network: the run is kept in its folder."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", **known}
    given = [*arguments("expression", store, "trainer.max_steps=2"), "logger.wandb=true"]
    command = [sys.executable, ROOT / "train.py", *given]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert ("does not answer" in done.stderr) == bool(known)
    assert len(list(tmp_path.glob("run/wandb/offline-run-*/run-*.wandb"))) == 1


def test_only_the_first_process_names_the_wandb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(rank_zero.rank_zero_only, "rank", 1)
    build_loggers(LoggerConfig(wandb=True), RunDirectory(tmp_path), None, {})
    assert not (tmp_path / WANDB_ID).exists()
    monkeypatch.setattr(rank_zero.rank_zero_only, "rank", 0)
    first = build_loggers(LoggerConfig(wandb=True), RunDirectory(tmp_path), None, {})[1]
    again = build_loggers(LoggerConfig(wandb=True), RunDirectory(tmp_path), 4, {})[1]
    assert first.version == again.version == (tmp_path / WANDB_ID).read_text().strip()


def test_a_resumed_run_goes_on_with_its_tensorboard_curves(store: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_in_two_parts(arguments("pose", store, "logger.tensorboard=true"))
    board = EventAccumulator("run/tensorboard")
    board.Reload()
    steps = [event.step for event in board.Scalars("train/loss")]
    assert steps == [2, 5, 8, 11]  # what came after the checkpoint is not drawn twice
    assert "speed/frames_per_second" in board.Tags()["scalars"]
    assert "config.yaml/text_summary" in board.Tags()["tensors"]


def test_tensorboard_compares_runs_by_their_best_score(store: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    assert main([*arguments("pose", store, "logger.tensorboard=true", "seed=3")]) == 0
    board = EventAccumulator("run/tensorboard")
    board.Reload()
    best = min(float(row["val/loss"]) for row in rows_of(Path("run")) if row["val/loss"])
    assert [event.value for event in board.Scalars("best/val/loss")] == [pytest.approx(best)]
    content = board.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    shown = HParamsPluginData.FromString(content).session_start_info.hparams
    assert shown["seed"].number_value == 3
    assert "optim/lr" in shown
