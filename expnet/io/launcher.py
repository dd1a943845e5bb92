"""Which of several launched processes this one is, where torchrun, SLURM, LSF or MPI starts the processes of a job.

The rules are those of Lightning's cluster environments, read here from the environment variables alone: importing
Lightning takes seconds, and the benchmark of videos does not need it. SLURM is the exception: the variables of a job
are also set where nothing was started with ``srun``, so only those of a job step count.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

# Lightning tries the launchers in this order; torchrun comes first because it also runs inside of SLURM jobs.
_VARIABLES = (
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("SLURM", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    ("LSF", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_LOCAL_RANK"),
    ("MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
)
"""By launcher: the variables of the rank, the number of processes and the rank on this machine."""
_INTERACTIVE_JOBS = ("interactive", "bash", "sh", "zsh", "fish", "ksh", "csh", "tcsh", "dash")
"""Names of SLURM jobs in which a user types commands, each of which is a process by itself."""
_FIRST_RESERVED_STEP = 0xFFFFFFF0
"""SLURM numbers the steps of ``srun`` from 0; the batch script and the shell of ``salloc`` are steps above this."""


def available_cores() -> int:
    """Return the number of cores that this process may use; of the machine where the system sets no limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class LaunchedProcess:
    """Rank of this process among those that one launcher started.

    Attributes:
        rank: Rank among all processes, from 0.
        world: Number of processes.
        local_rank: Rank among the processes of this machine, which chooses the GPU.
        launcher: torchrun, SLURM, LSF or MPI; empty for a process that none of them started.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    launcher: str = ""

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return this process's share of a list of work: every ``world``-th item, from its rank on."""
        return list(items[self.rank :: self.world])


def launched_process() -> LaunchedProcess:
    """Read this process's rank from the variables of the launcher.

    Processes that Lightning itself starts have no ``RANK`` and are not recognised: they know their parent's choices. A
    command in a batch script without ``srun``, or typed in an interactive SLURM shell (``salloc``, ``srun --pty
    bash``), is a process by itself, however many tasks its job has.
    """
    known_launcher = ""
    for launcher, rank, world, local_rank in _VARIABLES:
        if rank not in os.environ:
            continue
        if launcher == "SLURM" and not _is_started_by_srun():
            continue
        if world in os.environ:
            return LaunchedProcess(
                int(os.environ[rank]), int(os.environ[world]), int(os.environ.get(local_rank, "0")), launcher
            )
        # A rank among an unknown number of processes says only who started this one.
        known_launcher = known_launcher or launcher
    return LaunchedProcess(launcher=known_launcher)


def _is_started_by_srun() -> bool:
    """Return whether this process is a task of a job step; a batch script has a rank, 0, but is no step of ``srun``."""
    step = os.environ.get("SLURM_STEP_ID", "")
    if not step.isdigit() or int(step) >= _FIRST_RESERVED_STEP:
        return False
    return os.environ.get("SLURM_JOB_NAME") not in _INTERACTIVE_JOBS
