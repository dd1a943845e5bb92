"""Runs on two machines while a process dies, stops or cannot be reached: they end in time, lose nothing and go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small import ROOT, arguments, checkpoint_of, rows_of, same
from two_machines import ADDRESSES, TwoMachines

STEPS = 120
PORT = "29500"
LENGTH = ("data.workers=0", f"trainer.max_steps={STEPS}", "trainer.validate_every=20", "trainer.log_every=5")
SECONDS_OF_WAITING = 8.0
SAID_BY_A_SILENT_PEER = f"has not answered for {SECONDS_OF_WAITING:g} s (trainer.timeout)"


@pytest.fixture
def machines() -> Iterator[TwoMachines]:
    """Two machines, or a skipped test."""
    try:
        pair = TwoMachines(f"x{os.getpid()}")
    except PermissionError as error:
        pytest.skip(str(error))
    yield pair
    pair.remove()


def slurm(rank: int) -> dict[str, str]:
    """The environment in which srun starts one process on each of two machines."""
    return {
        "SLURM_JOB_ID": "12345",
        "SLURM_JOB_NAME": "expnet",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": str(rank),
        "SLURM_NODELIST": "machine[1-2]",
        "MASTER_ADDR": ADDRESSES[0],
        "MASTER_PORT": PORT,
    }


def given_for(store: Path) -> list[str]:
    """The arguments of a run on two machines."""
    config, *others = arguments("expression", store, *LENGTH, f"trainer.timeout={SECONDS_OF_WAITING}")
    return [str(ROOT / config), *others, "trainer.strategy=ddp", "trainer.num_nodes=2", "trainer.devices=1"]


def srun(machines: TwoMachines, store: Path, folder: Path) -> list[subprocess.Popen[bytes]]:
    """Start the run as SLURM does."""
    command = [sys.executable, ROOT / "train.py", *given_for(store)]
    return [machines.start(rank, command, folder, slurm(rank)) for rank in range(2)]


def wait_for_step(step: int, folder: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until a step is in metrics.csv."""
    metrics = folder / "run" / "metrics.csv"
    while not metrics.is_file() or max((int(row["step"]) for row in rows_of(folder / "run")), default=0) < step:
        assert all(process.poll() is None for process in processes), said_by(folder, 0) + said_by(folder, 1)
        time.sleep(0.1)


def said_by(folder: Path, machine: int) -> str:
    """The output of the processes of a machine."""
    return (folder / f"said{machine}.txt").read_text()


def assert_it_goes_on(machines: TwoMachines, store: Path, folder: Path, whole: Callable[..., Path]) -> None:
    """The same command continues, and the run ends with the rows and weights of one that nothing befell."""
    again = srun(machines, store, folder)
    assert [process.wait(300) for process in again] == [0, 0], said_by(folder, 0) + said_by(folder, 1)
    alone = whole("expression", *LENGTH, processes=2)
    assert (alone / "metrics.csv").read_text() == (folder / "run" / "metrics.csv").read_text()
    assert same(checkpoint_of(alone)["state_dict"], checkpoint_of(folder / "run")["state_dict"])


@pytest.mark.slow
def test_a_process_that_dies(machines: TwoMachines, store: Path, tmp_path: Path) -> None:
    """The other one ends at once; `test_torchrun_restarts_a_run` shows that nothing is lost."""
    first, second = srun(machines, store, tmp_path)
    wait_for_step(30, tmp_path, [first, second])
    second.kill()
    assert first.wait(SECONDS_OF_WAITING) == 1
    assert "Another process of the run has ended" in said_by(tmp_path, 0).splitlines()[-1]


@pytest.mark.slow
def test_a_process_that_stops(machines: TwoMachines, store: Path, tmp_path: Path) -> None:
    """The other one waits for it as long as it was told to; when it wakes it ends, too, and takes no step alone."""
    first, second = srun(machines, store, tmp_path)
    wait_for_step(30, tmp_path, [first, second])
    second.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    assert first.wait(3 * SECONDS_OF_WAITING) == 1
    assert time.monotonic() - stopped > 0.9 * SECONDS_OF_WAITING
    assert SAID_BY_A_SILENT_PEER in said_by(tmp_path, 0).splitlines()[-1]
    second.send_signal(signal.SIGCONT)
    assert second.wait(3 * SECONDS_OF_WAITING) == 1
    assert "Another process of the run has" in said_by(tmp_path, 1).splitlines()[-1]


@pytest.mark.slow
def test_a_cable_that_is_pulled(machines: TwoMachines, store: Path, tmp_path: Path, whole: Callable[..., Path]) -> None:
    """Both processes end after the same time, and the run goes on once the network is back."""
    both = srun(machines, store, tmp_path)
    wait_for_step(30, tmp_path, both)
    machines.unplug()
    assert [process.wait(3 * SECONDS_OF_WAITING) for process in both] == [1, 1]
    for machine in range(2):
        assert SAID_BY_A_SILENT_PEER in said_by(tmp_path, machine).splitlines()[-1]
    machines.plug()
    assert_it_goes_on(machines, store, tmp_path, whole)


def torchrun(machines: TwoMachines, store: Path, folder: Path) -> list[subprocess.Popen[bytes]]:
    """Start the run under two elastic agents, as the guide says."""
    agents = []
    for machine in range(2):
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        command += ["--max-restarts=1", "--rdzv-backend=c10d", f"--rdzv-endpoint={ADDRESSES[0]}:{PORT}"]
        command += [f"--rdzv-conf=is_host={1 - machine}", f"--local-addr={ADDRESSES[machine]}"]
        environment = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        agents.append(
            machines.start(machine, [*command, str(ROOT / "train.py"), *given_for(store)], folder, environment)
        )
    return agents


def process_of_rank(rank: int, folder: Path) -> int:
    """The number of the process with a rank that works in a folder."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
            if f"RANK={rank}".encode() in variables and (place / "cwd").resolve() == folder.resolve():
                return int(place.name)
        except OSError:
            continue  # it has ended
    raise LookupError(f"no process of rank {rank}")


@pytest.mark.slow
def test_torchrun_restarts_a_run(
    machines: TwoMachines, store: Path, tmp_path: Path, whole: Callable[..., Path]
) -> None:
    """With --max-restarts the agents start all processes anew, which continue from last.ckpt."""
    agents = torchrun(machines, store, tmp_path)
    wait_for_step(30, tmp_path, agents)
    os.kill(process_of_rank(1, tmp_path), signal.SIGKILL)
    assert [agent.wait(300) for agent in agents] == [0, 0], said_by(tmp_path, 0) + said_by(tmp_path, 1)
    alone = whole("expression", *LENGTH, processes=2)
    assert (alone / "metrics.csv").read_text() == (tmp_path / "run" / "metrics.csv").read_text()
