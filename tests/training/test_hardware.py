"""Devices, processes and strategies that a machine does not have: one sentence before anything waits for them."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import killable
import pytest
import torch
from killable import finish, log_of, start
from small import ROOT, arguments, checkpoint_of, rows_of

from expnet.cli import guarded
from expnet.config import TrainerConfig, load_config
from expnet.errors import ConfigError
from expnet.training.callbacks.csv_logger import CsvLogger
from expnet.training.hardware import check_hardware, use_threads
from expnet.training.main import build_data, build_trainer, main
from expnet.training.run_folder import RunDirectory
from expnet.training.tasks.build import build_task, describe_training

BATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
"""Variables of a batch script with --ntasks=4 in which srun was not called."""
STEP = {**BATCH, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}
TORCHRUN = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"strategy": "bogus"}, "trainer.strategy=bogus does not exist; use auto or .*ddp, "),
        ({"accelerator": "bogus"}, "trainer.accelerator=bogus does not exist; use auto, gpu, .*cpu"),
        ({"accelerator": "gpu"}, "trainer.accelerator=gpu, but torch sees no GPU here"),
        ({"num_nodes": 2}, "trainer.num_nodes=2, but only this process was started .* srun or torchrun"),
    ],
)
def test_what_is_not_there(options: dict[str, object], sentence: str, store: Path) -> None:
    given = [f"trainer.{name}={value}" for name, value in options.items()]
    with pytest.raises(ConfigError, match=sentence) as caught:
        main([*arguments("expression", store), *given])
    assert "\n" not in str(caught.value)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("variables", "options", "sentence"),
    [
        (TORCHRUN, {}, "torchrun started 2 processes, but trainer.devices=1 and trainer.num_nodes=1 ask for 1"),
        (STEP, {}, "SLURM started 2 processes, but"),
        (TORCHRUN, {"devices": 2, "num_nodes": 2}, "ask for 4"),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "1"}, {"devices": 2}, "SLURM started 1 process, but trainer.devices=2"),
    ],
)
def test_processes_that_do_not_match(
    variables: dict[str, str], options: dict[str, int], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=sentence):
        check_hardware(TrainerConfig(accelerator="cpu", **options))


def test_processes_that_match(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    check_hardware(TrainerConfig(accelerator="cpu", devices=2))
    check_hardware(TrainerConfig(accelerator="cpu", devices=1, num_nodes=2))


@pytest.mark.slow
def test_torchrun_with_the_default_devices_trains_nothing(store: Path, tmp_path: Path) -> None:
    """It trained the whole run twice in one folder."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    given = [*command, ROOT / "train.py", *arguments("expression", store)]
    done = subprocess.run(given, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0
    assert "torchrun started 2 processes" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("job", ["train.sh", "zsh"])
def test_a_batch_script_without_srun_trains_one_process(job: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**BATCH, "SLURM_JOB_NAME": job}.items():
        monkeypatch.setenv(name, value)
    assert main(arguments("expression", store, "trainer.max_steps=2")) == 0
    assert Path("run/model.safetensors").is_file()


def test_a_run_that_is_shorter_than_an_interval_is_validated(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(arguments("expression", store, "trainer.max_steps=3", "trainer.validate_every=100")) == 0
    assert "trainer.validate_every=100 is more than trainer.max_steps=3" in caplog.text
    assert [row["step"] for row in rows_of(Path("run")) if row["val/loss"]] == ["2"]
    assert Path("run/checkpoints/best.ckpt").is_file()


def test_the_limit_of_waiting_reaches_the_strategy(store: Path) -> None:
    config = load_config(
        arguments("expression", store, "trainer.timeout=7", "trainer.devices=2", "trainer.strategy=ddp")
    )
    data = build_data(config)
    task = build_task(config, data)
    task.notes = describe_training(config, data, task)
    trainer = build_trainer(config, RunDirectory(Path("run")), task, data, None)
    assert trainer.strategy._timeout == timedelta(seconds=7)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        (killable.hang_in_the_last_process, "has not answered for 5 s (trainer.timeout)"),
        (killable.die_in_the_last_process, "Another process of the run has ended"),
    ],
)
def test_a_process_that_is_gone_is_not_waited_for(
    point: Callable[[int], None], sentence: str, store: Path, tmp_path: Path
) -> None:
    given = arguments("expression", store, "data.workers=0", "trainer.timeout=5")
    ended = finish(start(given, tmp_path, processes=2, point=(point, 5)), seconds=60)
    assert ended[0] == 1, log_of(tmp_path)
    first = (tmp_path / "log0.txt").read_text()
    assert sentence in first
    assert "Traceback" not in first


@pytest.mark.parametrize(("timeout", "ended"), [(30, 0), (1.5, 1)])
def test_a_slow_disk_is_waited_for(timeout: float, ended: int, store: Path, tmp_path: Path) -> None:
    """The process that does not write waits for the other one as long as trainer.timeout says."""
    given = arguments("expression", store, "data.workers=0", f"trainer.timeout={timeout}", "trainer.max_steps=4")
    writer, other = start(given, tmp_path, processes=2, point=(killable.on_a_slow_disk, 4))
    other.join(120)
    writer.join(120)
    assert other.exitcode == ended, log_of(tmp_path)
    assert ("has not answered for 1.5 s" in (tmp_path / "log1.txt").read_text()) == bool(ended)
    assert finish(start(given, tmp_path, processes=2)) == [0, 0], log_of(tmp_path)
    assert checkpoint_of(tmp_path / "run")["global_step"] == 4


def test_a_store_that_vanishes_for_a_while(store: Path, tmp_path: Path, whole: Callable[..., Path]) -> None:
    """Shards stay mapped while their folder is away, so a training does not notice."""
    away = tmp_path / "away"
    shutil.copytree(store, tmp_path / "store")
    given = arguments("expression", tmp_path / "store", "data.workers=0")
    process = start(given, tmp_path, point=(killable.wait_in_a_step, 5))
    while not (tmp_path / "waiting").exists():
        assert process[0].is_alive(), log_of(tmp_path)
        time.sleep(0.05)
    (tmp_path / "store").rename(away)
    (tmp_path / "waiting").unlink()
    assert finish(process) == [0], log_of(tmp_path)
    alone = whole("expression", "data.workers=0")
    assert (alone / "metrics.csv").read_text() == (tmp_path / "run" / "metrics.csv").read_text()


def test_a_store_whose_files_are_shortened(store: Path, tmp_path: Path, whole: Callable[..., Path]) -> None:
    """The system ends the loading process, the run says so in one sentence, and goes on with the store as it was."""
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    given = arguments("expression", copy, "data.workers=1")
    shorten = partial(killable.with_a_shortened_store, store=copy)
    assert finish(start(given, tmp_path, point=(shorten, 5))) == [1], log_of(tmp_path)
    assert "may have been removed or shortened" in log_of(tmp_path).splitlines()[-1]
    shutil.copytree(store, copy, dirs_exist_ok=True)
    assert finish(start(given, tmp_path)) == [0], log_of(tmp_path)
    alone = whole("expression", "data.workers=1")
    assert (alone / "metrics.csv").read_text() == (tmp_path / "run" / "metrics.csv").read_text()


def test_threads_hold_for_processes_of_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning sets torch's threads itself where OMP_NUM_THREADS is not set."""
    from lightning_fabric.utilities.distributed import _set_num_threads_if_needed

    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    try:
        use_threads(3)
        _set_num_threads_if_needed(2)
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (3, "3")
    finally:
        torch.set_num_threads(before)
        os.environ.pop("OMP_NUM_THREADS", None)


def test_two_runs_in_one_folder(store: Path, tmp_path: Path) -> None:
    """The second is refused; the first one, killed, gives the folder up, and the run goes on."""
    given = arguments("expression", store, "data.workers=0")
    first = start(given, tmp_path, point=(killable.hang_in_the_last_process, 5))
    while not (tmp_path / "run" / "metrics.csv").is_file():
        assert first[0].is_alive(), log_of(tmp_path)
        time.sleep(0.1)
    assert finish(start(given, tmp_path)) == [2]
    assert "is in use by another run" in log_of(tmp_path)
    first[0].kill()
    first[0].join()
    assert finish(start(given, tmp_path)) == [0], log_of(tmp_path)
    assert "which is dead: taking it over" in log_of(tmp_path)
    assert not list((tmp_path / "run").glob(".*"))


def test_two_runs_started_together_get_a_folder_each(store: Path, tmp_path: Path) -> None:
    given = [layer for layer in arguments("expression", store, "trainer.max_steps=2") if "=run" not in layer]
    given = [layer for layer in given if layer != "ckpt=last"]
    started = [start(given, tmp_path) for _ in range(2)]
    assert [finish(processes) for processes in started] == [[0], [0]], log_of(tmp_path)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["expression-1", "expression-2"]


@pytest.mark.parametrize("kilobytes", [4, 40, 200, 700])
def test_a_full_disk_is_one_sentence(
    kilobytes: int, store: Path, small_disk: Callable[[int], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Wherever the disk fills up: the records of the run, metrics.csv, a checkpoint, the exported network."""
    disk = small_disk(kilobytes)
    given = arguments("expression", store, f"output={disk / 'run'}", "logger.tensorboard=true")
    assert guarded(lambda: main(given)) == 1
    output = capfd.readouterr().err
    assert "Traceback" not in output
    assert "make room on that disk" in output.splitlines()[-1]
    left = [path for path in disk.rglob("*") if path.is_file() and (".partial" in path.name or path.name[0] == ".")]
    assert left == []
    metrics = disk / "run" / "metrics.csv"
    assert not metrics.is_file() or metrics.read_text().endswith("\n")


def fill(disk: Path) -> None:
    """Leave no block of a disk free."""
    with open(disk / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 1024)


def test_a_row_that_does_not_fit_leaves_the_rows_before_it(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(64)
    logger = CsvLogger(disk / "metrics.csv")
    logger.log_metrics({"loss": 1.0}, step=0)
    fill(disk)

    def log_until_full() -> None:
        for step in range(1, 2000):
            logger.log_metrics({"loss": float(step)}, step=step)

    with pytest.raises(OSError, match="No space"):
        log_until_full()
    lines = (disk / "metrics.csv").read_text().splitlines(keepends=True)
    assert 1 < len(lines) < 2000
    assert lines[-1] == f"{len(lines) - 2},,{float(len(lines) - 2)}\n"


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(store: Path, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(4000)
    given = arguments("expression", store, f"output={disk / 'run'}")
    assert main([*given, "trainer.max_steps=4"]) == 0
    last = disk / "run" / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    fill(disk)
    assert guarded(lambda: main([*given, "trainer.max_steps=8"])) == 1
    assert last.read_bytes() == before
    (disk / "filler").unlink()
    assert main([*given, "trainer.max_steps=8"]) == 0
    assert torch.load(last, weights_only=True)["global_step"] == 8
