"""The runs of a sweep as SLURM jobs, submitted by submitit; runs that are independent are one job array."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from expnet.config import require
from expnet.errors import ExpnetError, InputError, MissingAssetError
from expnet.io.atomic import write_atomically
from expnet.training.sweep.jobs import Job
from expnet.training.sweep.plan import Plan, Trial
from expnet.training.sweep.slurm_task import TrainingTask

if TYPE_CHECKING:
    import submitit

JOB_ID = "slurm_job.txt"
"""File in the run folder with the number of its last job."""
_WARNING_SECONDS = 300
"""Time before the limit at which a job writes its checkpoint and asks to be requeued."""
_REQUEUES = 1000
"""submitit requeues a job only so many times at its time limit, and by default three times."""

_log = logging.getLogger(__name__)


class SlurmJob:
    """A submitted job.

    Args:
        job: The job of submitit.
    """

    def __init__(self, job: submitit.Job[int]) -> None:
        self.job = job
        self._stopped = False

    def ended(self) -> int | None:
        """Return the exit code of the run; -1 if its job was killed or cancelled; None while it waits or trains."""
        from submitit.core.utils import FailedJobError, UncompletedJobError

        # submitit asks SLURM every ten minutes. Before that it knows of jobs that have a result, not of cancelled ones.
        if not self.job.done(force_check=self._stopped):
            return None
        try:
            return max(self.job.results())
        except (FailedJobError, UncompletedJobError):
            return -1

    def stop(self) -> None:
        """Cancel the job: SLURM sends SIGTERM, at which the training writes its checkpoint."""
        self.job.cancel(check=False)
        self._stopped = True


class SlurmJobs:
    """Jobs of a SLURM cluster. They go on when the sweep's command ends, and the next command finds them again.

    Args:
        plan: The sweep.

    Raises:
        MissingAssetError: submitit is not installed.
        InputError: There is no SLURM here.
    """

    seconds = 5.0
    queues = True

    def __init__(self, plan: Plan) -> None:
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise MissingAssetError(
                "executor=slurm needs the submitit package: pip install 'expnet[sweep]'."
            ) from error
        parameters = job_parameters(plan)
        self.folder = plan.folder.absolute() / "slurm"
        try:
            self.executor = submitit.AutoExecutor(folder=self.folder, cluster="slurm", slurm_max_num_timeout=_REQUEUES)
        except RuntimeError as error:
            raise InputError("executor=slurm needs SLURM's srun and sbatch, which are not on this machine.") from error
        self.executor.update_parameters(**parameters)
        self.tasks = list(range(parameters["nodes"] * parameters["tasks_per_node"]))

    def start(self, trials: Sequence[Trial]) -> list[Job]:
        """Submit the runs; one whose job of an earlier command is still there keeps it.

        Raises:
            ExpnetError: SLURM takes no job with these options.
        """
        found = {trial.name: job for trial in trials if (job := self._earlier(trial)) is not None}
        new = [trial for trial in trials if trial.name not in found]
        if new:
            tasks = [TrainingTask(trial.command, trial.folder) for trial in new]
            try:
                jobs = self.executor.map_array(TrainingTask.__call__, tasks)
            except (OSError, RuntimeError) as error:
                raise ExpnetError(f"SLURM did not take the jobs: {error}") from error
            for trial, job in zip(new, jobs, strict=True):
                trial.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(trial.folder / JOB_ID, f"{job.job_id}\n")
                found[trial.name] = job
            _log.info("Submitted %d jobs: %s", len(jobs), ", ".join(job.job_id for job in jobs))
        return [SlurmJob(found[trial.name]) for trial in trials]

    def _earlier(self, trial: Trial) -> submitit.Job[int] | None:
        """Return the job of a run that an earlier command has submitted and that has not ended."""
        from submitit import SlurmJob as SubmittedJob

        path = trial.folder / JOB_ID
        if not path.is_file():
            return None
        job: submitit.Job[int] = SubmittedJob(self.folder, path.read_text(encoding="utf-8").strip(), self.tasks)
        return None if job.done(force_check=True) else job

    def leave(self, jobs: Sequence[Job]) -> None:
        """Leave the jobs to SLURM."""
        if jobs:
            numbers = [job.job.job_id for job in jobs if isinstance(job, SlurmJob)]
            _log.info("These jobs go on; the same command follows them again: %s", " ".join(numbers))


def job_parameters(plan: Plan) -> dict[str, Any]:
    """Return the parameters of submitit for a sweep.

    Raises:
        ConfigError: trainer.devices does not say how many processes a node runs.
    """
    options, trainer = plan.options.slurm, plan.config.trainer
    require(trainer.devices >= 1, "executor=slurm needs the number of devices of a node: set trainer.devices=N.")
    given = {
        "name": plan.folder.absolute().name,
        "timeout_min": options.minutes,
        "nodes": trainer.num_nodes,
        "tasks_per_node": trainer.devices,
        "cpus_per_task": options.cpus_per_task,
        "gpus_per_node": options.gpus_per_node or None,
        "mem_gb": options.mem_gb,
        "slurm_partition": options.partition,
        "slurm_account": options.account,
        "slurm_qos": options.qos,
        "slurm_constraint": options.constraint,
        "slurm_setup": options.setup or None,
        "slurm_signal_delay_s": _WARNING_SECONDS,
        "slurm_array_parallelism": plan.options.jobs,
        "slurm_additional_parameters": {"requeue": True, **options.additional},
    }
    return {name: value for name, value in given.items() if value is not None}
