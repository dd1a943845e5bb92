"""Where the runs of a sweep train: the interface, and processes of this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Protocol

from expnet.config import TrainerConfig
from expnet.io.launcher import available_cores
from expnet.training.child_runs import start_process, wait_or_kill
from expnet.training.sweep.plan import Trial


class Job(Protocol):
    """A run that has been started."""

    def ended(self) -> int | None:
        """Return the exit code of the run, -1 where only its failure is known; None while it waits or trains."""

    def stop(self) -> None:
        """Ask the run to write its checkpoint and to end."""


class Jobs(Protocol):
    """A place for runs.

    Attributes:
        seconds: Time between two looks at the runs.
        queues: Whether runs may be started before there is room for them.
    """

    seconds: float
    queues: bool

    def start(self, trials: Sequence[Trial]) -> list[Job]:
        """Start runs, in their order."""

    def leave(self, jobs: Sequence[Job]) -> None:
        """Let go of the runs that have not ended, because the sweep stops."""


class LocalJob:
    """A process of this machine.

    Args:
        process: The process.
        place: Number of its place among those that run at the same time.
    """

    def __init__(self, process: subprocess.Popen[bytes], place: int) -> None:
        self.process, self.place = process, place

    def ended(self) -> int | None:
        """Return the exit code of the process; None while it runs."""
        return self.process.poll()

    def stop(self) -> None:
        """Send SIGTERM, at which a training writes its checkpoint between two steps."""
        self.process.terminate()


class LocalJobs:
    """Processes of this machine. Each has the GPUs of its place, and a fair share of the cores.

    Args:
        lock: Descriptor of the sweep's lock, see `expnet.training.child_runs.locked_folder`.
        places: Number of runs at the same time.
        options: Hardware of each run.
    """

    seconds = 0.2
    queues = False

    def __init__(self, lock: int, places: int, options: TrainerConfig) -> None:
        self.lock, self.places = lock, places
        self.gpus = gpu_groups(options)
        self._running: list[LocalJob] = []

    def start(self, trials: Sequence[Trial]) -> list[Job]:
        """Start a process for each run."""
        return [self._start(trial) for trial in trials]

    def _start(self, trial: Trial) -> LocalJob:
        self._running = [job for job in self._running if job.ended() is None]
        taken = {job.place for job in self._running}
        place = min(set(range(len(taken) + 1)) - taken)
        environment = {}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus[place % len(self.gpus)])
        if self.places > 1 and "OMP_NUM_THREADS" not in os.environ:
            # Otherwise every run starts as many threads as there are cores, and they all wait for one another.
            environment["OMP_NUM_THREADS"] = str(max(1, available_cores() // self.places))
        job = LocalJob(start_process(trial, self.lock, environment), place)
        self._running.append(job)
        return job

    def leave(self, jobs: Sequence[Job]) -> None:
        """Stop the runs, and wait until they have written their checkpoints."""
        for job in jobs:
            job.stop()
        for job in jobs:
            assert isinstance(job, LocalJob)
            wait_or_kill(job.process)


def gpu_groups(options: TrainerConfig) -> list[list[str]]:
    """Return the GPUs of this process in groups of as many as a run takes; empty if a run takes none or all."""
    import torch

    if options.accelerator not in ("auto", "gpu", "cuda") or options.devices < 1:
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(torch.cuda.device_count())] if named is None else named.split(",")
    names = [name for name in names if name]
    return [
        names[first : first + options.devices] for first in range(0, len(names) + 1 - options.devices, options.devices)
    ]
