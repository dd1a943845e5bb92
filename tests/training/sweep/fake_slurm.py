"""SLURM's commands for one machine: ``python fake_slurm.py sbatch FILE`` and so on, with the jobs in $FAKE_SLURM.

As in SLURM, a signal reaches every process of a job's step, and its batch script only if it is told so.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

JOBS = Path(os.environ.get("FAKE_SLURM", "slurm_jobs"))


def install(folder: Path) -> None:
    """Make the commands in a folder for the PATH."""
    folder.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol", "scancel"):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        (folder / name).chmod(0o755)


def sbatch(script: str) -> None:
    """Start the job, or the jobs of the array."""
    JOBS.mkdir(exist_ok=True)
    number = str(1 + sum(path.suffix == ".script" for path in JOBS.iterdir()))
    (JOBS / f"{number}.script").write_text(Path(script).read_text())
    array = re.search(r"#SBATCH --array=0-(\d+)", Path(script).read_text())
    names = [f"{number}_{index}" for index in range(int(array[1]) + 1)] if array else [number]
    for name in names:
        (JOBS / f"{name}.state").write_text("PENDING")
        runner = [sys.executable, __file__, "runner", name]
        subprocess.Popen(runner, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sys.stdout.write(f"Submitted batch job {number}\n")


def runner(name: str) -> None:
    """Run a job until it has ended and is not requeued."""
    number, _, index = name.partition("_")
    task = {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index} if index else {}
    environment = {**os.environ, **task, "SLURM_JOB_ID": number, "SLURM_NTASKS": "1", "FAKE_JOB": name}
    requeued = JOBS / f"{name}.requeue"
    while True:
        requeued.unlink(missing_ok=True)
        (JOBS / f"{name}.state").write_text("RUNNING")
        batch = subprocess.Popen(["bash", str(JOBS / f"{number}.script")], env=environment, start_new_session=True)
        (JOBS / f"{name}.group").write_text(str(batch.pid))
        code = batch.wait()
        while steps(name):
            time.sleep(0.1)
        if not requeued.exists():
            break
    cancelled = (JOBS / f"{name}.cancel").exists()
    (JOBS / f"{name}.state").write_text("CANCELLED by 0" if cancelled else "COMPLETED" if code == 0 else "FAILED")


def srun(*arguments: str) -> None:
    """Become the command of a step."""
    rest = list(arguments)
    while rest[0].startswith("-"):
        name = rest.pop(0)
        if name in ("--output", "--error"):
            rest.pop(0)
    os.environ.update(SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0", SLURM_JOB_NUM_NODES="1")
    os.execvp(rest[0], rest)


def steps(name: str) -> list[int]:
    """The processes of a job without its batch script."""
    group = int((JOBS / f"{name}.group").read_text())
    found = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in found.splitlines()]
    return [int(pid) for pid, pgid, state in rows if int(pgid) == group and int(pid) != group and state[0] != "Z"]


def scancel(name: str, *arguments: str) -> None:
    """Send a signal to a job, SIGTERM unless another is given."""
    if not arguments:
        (JOBS / f"{name}.cancel").touch()
    number = getattr(signal, "SIG" + arguments[1].removeprefix("SIG")) if arguments else signal.SIGTERM
    for process in steps(name):
        os.kill(process, number)


def scontrol(_: str, name: str) -> None:
    """Requeue a job."""
    (JOBS / f"{name}.requeue").touch()


def sacct(*arguments: str) -> None:
    """Print the states of all jobs."""
    rows = [f"{path.stem}|{path.read_text()}|localhost" for path in JOBS.glob("*.state")]
    sys.stdout.write("\n".join(["JobID|State|NodeList", *rows]) + "\n")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
