"""Sweeps as SLURM jobs, with SLURM's commands imitated on this machine."""

import csv
import os
from pathlib import Path

import fake_slurm
import pytest
from planted_runs import events, plant, wait_for

from expnet.cli import main
from expnet.training.sweep.main import multirun
from expnet.training.sweep.plan import Trial, plan_multirun
from expnet.training.sweep.slurm_jobs import SlurmJob, SlurmJobs

GIVEN = ["configs/expression.yaml", "data.store=tracks", "output=sweep", "sweep.executor=slurm", "sweep.jobs=2"]
LIMIT = 60.0


@pytest.fixture
def _slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    plant(monkeypatch)
    fake_slurm.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "jobs"))
    monkeypatch.setattr(SlurmJobs, "seconds", 0.2)
    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 1)
    # One watcher, which asks SLURM once a minute and remembers the jobs of an earlier test, serves a whole process.
    monkeypatch.setattr(submitit.SlurmJob, "watcher", submitit.slurm.slurm.SlurmInfoWatcher(delay_s=1))


def jobs_of(*values: str) -> tuple[SlurmJobs, list[Trial]]:
    plan = plan_multirun([*GIVEN, *values])
    return SlurmJobs(plan), plan.grid()


def started(trial: Trial) -> bool:
    """Whether a training has logged a score."""
    scores = trial.folder / "metrics.csv"
    return scores.is_file() and len(scores.read_text().splitlines()) > 1


def table() -> list[tuple[str, str]]:
    with open("sweep/trials.csv", newline="", encoding="utf-8") as file:
        return [(row["run"], row["state"]) for row in csv.DictReader(file)]


@pytest.mark.usefixtures("_slurm")
def test_a_grid_is_one_array(tmp_path: Path) -> None:
    slurm = ["sweep.slurm.gpus_per_node=1", "sweep.slurm.partition=long", "sweep.slurm.additional={exclude: node07}"]
    assert multirun([*GIVEN, "--multirun", "optim.weight_decay=0.01", "optim.lr=0.01,0.03,0.02", *slurm]) == 0
    assert table() == [("lr-0.01", "finished"), ("lr-0.03", "finished"), ("lr-0.02", "finished")]
    assert Path("sweep/runs/lr-0.02/slurm_job.txt").read_text() == "1_2\n"
    script = (tmp_path / "jobs" / "1.script").read_text()
    for line in (
        "array=0-2%2",
        "cpus-per-task=8",
        "exclude=node07",
        "gpus-per-node=1",
        "job-name=sweep",
        "nodes=1",
        "ntasks-per-node=1",
        "partition=long",
        "requeue",
        "signal=USR2@300",
        "time=1440",
    ):
        assert f"#SBATCH --{line}\n" in script


@pytest.mark.usefixtures("_slurm")
def test_a_refused_input_is_the_exit_code_of_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *GIVEN, "--multirun", "optim.weight_decay=0.01", "optim.lr=0.01", "seed=2,0"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "expnet: seed-2: these are the last words"


@pytest.mark.slow
@pytest.mark.usefixtures("_slurm")
def test_a_job_at_its_time_limit_is_requeued_and_goes_on() -> None:
    jobs, trials = jobs_of("optim.weight_decay=0.8", "optim.lr=0.01,0.03")
    (job,) = jobs.start(trials[:1])
    assert isinstance(job, SlurmJob)
    wait_for(lambda: started(trials[0]), LIMIT)
    job.job._interrupt(timeout=True)  # type: ignore[attr-defined]
    wait_for(lambda: job.ended() is not None, LIMIT)
    assert job.ended() == 0
    assert events(Path("sweep")) == ["start lr-0.01", "start lr-0.01", "end lr-0.01"]
    assert len((trials[0].folder / "metrics.csv").read_text().splitlines()) == 5  # no step was taken twice


@pytest.mark.slow
@pytest.mark.usefixtures("_slurm")
def test_the_next_command_finds_a_job_and_resumes_a_cancelled_one() -> None:
    given = ("optim.weight_decay=4", "optim.lr=0.01,0.03")
    jobs, trials = jobs_of(*given)
    first, other = jobs.start(trials)
    wait_for(lambda: all(map(started, trials)), LIMIT)
    jobs.leave([first, other])
    first.stop()
    wait_for(lambda: first.ended() is not None, LIMIT)
    assert first.ended() == -1
    assert other.ended() is None
    assert multirun([*GIVEN, "--multirun", *given]) == 0
    assert table() == [("lr-0.01", "finished"), ("lr-0.03", "finished")]
    assert Path("sweep/runs/lr-0.01/slurm_job.txt").read_text() == "2\n"
    assert Path("sweep/runs/lr-0.03/slurm_job.txt").read_text() == "1_1\n"
    assert events(Path("sweep")).count("start lr-0.01") == 2
    assert events(Path("sweep")).count("start lr-0.03") == 1


def test_without_slurm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["train", *GIVEN, "--multirun", "optim.lr=0.01,0.03"]) == 2
    assert "needs SLURM's srun and sbatch" in capsys.readouterr().err


def test_all_devices_is_no_number_of_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *GIVEN, "--multirun", "optim.lr=0.01,0.03", "trainer.devices=-1"]) == 2
    assert "set trainer.devices=N" in capsys.readouterr().err
