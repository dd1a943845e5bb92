"""What a SLURM job of a sweep does: it runs one training, and is requeued before its time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from expnet.training.child_runs import LOG

_SECONDS_TO_STOP = 240.0
"""Seconds in which a training has to write its checkpoint; the job is warned 300 s before its time limit."""


class TrainingTask:
    """One process of a job, which submitit calls: it starts a process of the training and waits for it.

    Args:
        command: The command of the training; ``ckpt=last`` in it resumes.
        folder: Run folder. The output of the first process goes to training.log in it, that of the others to
            training-RANK.log.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self.command, self.folder = command, folder
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run the training and return its exit code. A training that a signal stopped ends the job without a result."""
        from submitit import JobEnvironment

        rank = JobEnvironment().global_rank
        name = LOG if rank == 0 else f"training-{rank}.log"
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / name, "ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                # SLURM sends its warning to every process of a job; it would kill the training before its checkpoint.
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
            )
        try:
            # Not wait(): `checkpoint` runs in a signal handler within this loop, and wait() would hold a lock.
            while self._process.poll() is None:
                time.sleep(0.2)
        finally:
            self._stop()
        code = self._process.returncode
        if code < 0 or code > 128:
            # Preempted or cancelled: SLURM knows which, and submitit asks it for jobs that leave no result.
            os._exit(code % 256)
        return code

    def checkpoint(self) -> Any:
        """Let the training write its checkpoint, and return the task that goes on with it, for the requeued job."""
        from submitit.helpers import DelayedSubmission

        self._stop()
        return DelayedSubmission(TrainingTask(self.command, self.folder))

    def _stop(self) -> None:
        """Ask the training to end, and wait; kill it if that takes too long. Takes no locks, see `__call__`."""
        process = self._process
        if process is None or not _runs(process.pid):
            return
        os.kill(process.pid, signal.SIGTERM)
        end = time.monotonic() + _SECONDS_TO_STOP
        while _runs(process.pid):
            if time.monotonic() > end:
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.1)


def _runs(process: int) -> bool:
    """Return whether a child process has not ended yet, without taking its exit code away."""
    try:
        return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False
