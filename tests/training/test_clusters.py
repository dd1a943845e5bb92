"""torchrun and SLURM: processes find one another, stop when they are told to, and are requeued."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import killable
import pytest
from killable import Point, finish, log_of, start
from small import ROOT, arguments, checkpoint_of, rows_of, same

from expnet.config import load_config
from expnet.config.grammar import parse_arguments
from expnet.errors import ConfigError
from expnet.training.callbacks.preemption import slurm_job
from expnet.training.run_folder import open_run

CLUSTER = ROOT / "configs" / "cluster"
JOB = "12345"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for scontrol that records its arguments."""
    said = tmp_path / "scontrol.txt"
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >> {said}\n')
    program.chmod(0o755)
    return said


def slurm(queue: Path) -> Callable[[int, int], dict[str, str]]:
    """The environment in which srun starts two processes on one machine."""

    def environment(rank: int, port: int) -> dict[str, str]:
        return {
            "SLURM_JOB_ID": JOB,
            "SLURM_JOB_NAME": "expnet",
            "SLURM_STEP_ID": "0",
            "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_NTASKS": "2",
            "SLURM_NTASKS_PER_NODE": "2",
            "SLURM_NNODES": "1",
            "SLURM_PROCID": str(rank),
            "SLURM_LOCALID": str(rank),
            "SLURM_NODEID": "0",
            "SLURM_NODELIST": "localhost",
            "MASTER_PORT": str(port),
            "PATH": f"{queue.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    return environment


@pytest.mark.parametrize(
    ("point", "number", "asked"),
    [
        ((killable.time_is_over, 6), signal.SIGUSR1, [f"requeue {JOB}"]),
        ((killable.asked_to_leave, 6), signal.SIGTERM, []),
    ],
)
def test_a_slurm_job_leaves_and_comes_back(
    point: Point,
    number: int,
    asked: list[str],
    store: Path,
    tmp_path: Path,
    queue: Path,
    whole: Callable[..., Path],
) -> None:
    """The job requeues itself at its time limit, but not when it was cancelled or preempted."""
    one_machine = ("data.workers=0", "trainer.num_nodes=1", "trainer.threads=1")
    given = ["configs/cluster/slurm.yaml", *arguments("expression", store, *one_machine)]
    left = finish(start(given, tmp_path, processes=2, cluster=slurm(queue), point=point))
    assert left[0] == 128 + number, log_of(tmp_path)
    assert (queue.read_text().splitlines() if queue.exists() else []) == asked
    assert checkpoint_of(tmp_path / "run")["global_step"] == 7  # one process tells the other with its next gradients
    assert not list((tmp_path / "run").rglob("hpc_ckpt*"))

    assert finish(start(given, tmp_path, processes=2, cluster=slurm(queue))) == [0, 0], log_of(tmp_path)
    alone = whole("expression", "data.workers=0", processes=2)
    assert (alone / "metrics.csv").read_text() == (tmp_path / "run" / "metrics.csv").read_text()
    assert same(checkpoint_of(alone)["state_dict"], checkpoint_of(tmp_path / "run")["state_dict"])


def test_the_name_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    assert slurm_job() is None
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert slurm_job() == "7"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert slurm_job() == "5_2"


@pytest.mark.slow
def test_torchrun(store: Path, tmp_path: Path, whole: Callable[..., Path]) -> None:
    given = arguments("expression", store, "data.workers=0", "trainer.devices=2", "trainer.strategy=ddp")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, ROOT / "train.py", *given], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "run"
    assert done.stdout.count("run\n") == 1  # printed by the first process alone
    alone = whole("expression", "data.workers=0", processes=2)
    assert (alone / "metrics.csv").read_text() == (tmp_path / "run" / "metrics.csv").read_text()


@pytest.mark.parametrize(
    "variables",
    [{"RANK": "1", "WORLD_SIZE": "2"}, {"SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}],
)
def test_processes_from_outside_need_a_folder(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="give output=FOLDER"):
        open_run(task="pose", output=None, ckpt=None)
    assert open_run(task="pose", output="here", ckpt=None).path == Path("here")


def test_a_cluster_overwrites_no_run_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").touch()
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(ConfigError, match="already contains a run"):
        open_run(task="pose", output="run", ckpt=None)


def test_the_script_and_its_configuration_agree(tmp_path: Path) -> None:
    """The script runs unchanged, with a stand-in for srun that only prints its arguments."""
    script = (CLUSTER / "slurm.sh").read_text()
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(\S*)", script, flags=re.MULTILINE))
    program = tmp_path / "srun"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    def submit(*given: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", CLUSTER / "slurm.sh", *given]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert "output=FOLDER" in submit("configs/pose.yaml").stderr
    started = submit("configs/pose.yaml", "data.store=tracks", "output=run").stdout.splitlines()
    assert started[1:5] == ["python", "-m", "expnet.cli", "train"]
    config = load_config(parse_arguments(started[5:]).layers)
    assert config.task == "pose"
    assert config.ckpt == "last"
    assert config.trainer.num_nodes == int(asked["nodes"])
    assert config.trainer.devices == int(asked["ntasks-per-node"]) == int(asked["gpus-per-node"])
    assert config.data.workers + config.trainer.threads == int(asked["cpus-per-task"])
    assert asked["signal"].startswith("USR1@")
    assert "requeue" in asked


@pytest.mark.parametrize("strategy", ["auto", "ddp"])
def test_the_published_head_pose_network_trains_on_several_devices(strategy: str, store: Path, tmp_path: Path) -> None:
    """Not every parameter of SadTalker's network is part of each loss, which plain DDP refuses."""
    given = ["configs/sadtalker_pose.yaml", *arguments("pose", store, "trainer.max_steps=3", "data.workers=0")[1:]]
    started = start([*given, "trainer.validate_every=3"], tmp_path, processes=2, strategy=strategy)
    assert finish(started) == [0, 0], log_of(tmp_path)


def test_rows_are_written_once(whole: Callable[..., Path]) -> None:
    """With two processes no row is written twice."""
    rows = rows_of(whole("expression", "data.workers=0", processes=2))
    assert len({(row["step"], bool(row["val/loss"])) for row in rows}) == len(rows)
