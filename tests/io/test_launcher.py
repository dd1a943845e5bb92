"""Ranks from the variables of launchers."""

import os

import pytest

from expnet.io.launcher import LaunchedProcess, launched_process


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("SLURM_", "OMPI_", "JSM_"))]:
        monkeypatch.delenv(name)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def set_variables(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


STEP = {
    "SLURM_NTASKS": "3", "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_LOCALID": "1",
    "SLURM_JOB_NAME": "train.sh",
}  # fmt: skip
"""Variables that srun sets for its third task."""
BATCH = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
"""Variables of a batch script with --ntasks=4, in which srun was not called."""


def test_slurm_and_its_interactive_shells(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched_process() == LaunchedProcess()
    set_variables(monkeypatch, **STEP)
    assert launched_process() == LaunchedProcess(2, 3, 1, "SLURM")
    for name in ("bash", "interactive", "zsh"):
        monkeypatch.setenv("SLURM_JOB_NAME", name)
        assert launched_process() == LaunchedProcess()


@pytest.mark.parametrize("job", ["eval.sh", "zsh", "expnet"])
@pytest.mark.parametrize("step", [None, str(0xFFFFFFFB), str(0xFFFFFFFA)])
def test_a_batch_script_without_srun_is_one_process(
    job: str, step: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, **BATCH, SLURM_JOB_NAME=job)
    if step is not None:
        monkeypatch.setenv("SLURM_STEP_ID", step)
    assert launched_process() == LaunchedProcess()


def test_torchrun_comes_before_the_job_that_it_runs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, **STEP)
    set_variables(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1")
    assert launched_process() == LaunchedProcess(5, 8, 1, "torchrun")


def test_other_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix, launcher in (("OMPI_COMM_WORLD_", "MPI"), ("JSM_NAMESPACE_", "LSF")):
        set_variables(monkeypatch, **{f"{prefix}RANK": "1", f"{prefix}SIZE": "2", f"{prefix}LOCAL_RANK": "1"})
        assert launched_process() == LaunchedProcess(1, 2, 1, launcher)


def test_processes_that_lightning_starts_are_not_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, WORLD_SIZE="2", LOCAL_RANK="1")
    assert launched_process() == LaunchedProcess()


def test_shares_are_a_partition() -> None:
    shares = [LaunchedProcess(rank, 3).share(list(range(7))) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == list(range(7))
