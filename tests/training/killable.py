"""Runs in processes of their own that can be killed at a chosen point: really, with SIGKILL.

The processes are forked from a server that has imported everything, so that each takes a second and not ten.
"""

import io
import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from expnet.cli import guarded
from expnet.config import load_config
from expnet.training.callbacks.csv_logger import CsvLogger
from expnet.training.main import build_data, build_trainer, main
from expnet.training.run_folder import RunDirectory
from expnet.training.tasks.base_task import BaseTask
from expnet.training.tasks.build import build_task, describe_training

Point = tuple[Callable[[int], None], int]
"""How to die, and at which step."""
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "expnet.training.callbacks.build",
        "expnet.training.callbacks.resume",
        "expnet.cli",
        "expnet.training.main",
        "pyarrow.dataset",
    ]
)


def die() -> None:
    """End as a machine does that loses power: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def before_call(owner: Any, name: str, instead: Callable[..., Any]) -> None:
    """Have ``instead`` called with the arguments first, each time ``owner.name`` is."""
    original = getattr(owner, name)

    def both(*arguments: Any, **options: Any) -> Any:
        instead(*arguments, **options)
        return original(*arguments, **options)

    setattr(owner, name, both)


def in_a_step(step: int) -> None:
    """Die when the weights have moved and their averages have not."""
    before_call(BaseTask, "on_train_batch_end", lambda task, *_: task.global_step == step and die())


def in_a_validation(step: int) -> None:
    """Die when the validation's second clip is scored."""
    seen: list[int] = []

    def count(task: BaseTask, *_: Any) -> None:
        seen.append(task.global_step)
        if seen.count(step) == 2:
            die()

    before_call(BaseTask, "log_losses", count)


def in_a_checkpoint(step: int, name: str) -> None:
    """Die when half of the checkpoint's bytes are on the disk."""
    save = torch.save

    def half(checkpoint: Any, file: Any, **options: Any) -> None:
        wanted = Path(str(getattr(file, "name", ""))).name.startswith(f".{name}.")
        if wanted and checkpoint["global_step"] == step:
            whole = io.BytesIO()
            save(checkpoint, whole)
            file.write(whole.getvalue()[: whole.tell() // 2])
            file.flush()
            die()
        save(checkpoint, file, **options)

    torch.save = half


def in_last_checkpoint(step: int) -> None:
    """Die in the checkpoint that a resumed run would have gone on from."""
    in_a_checkpoint(step, "last")


def in_best_checkpoint(step: int) -> None:
    """Die in the checkpoint before it."""
    in_a_checkpoint(step, "best")


def after_last_checkpoint(step: int) -> None:
    """Die at once when the checkpoint has its name."""
    replace = os.replace

    def then_die(source: Any, target: Any) -> None:
        replace(source, target)
        if Path(target).name == "last.ckpt" and torch.load(target, weights_only=True)["global_step"] == step:
            die()

    os.replace = then_die  # type: ignore[assignment]


def in_a_row(last: int) -> None:
    """Die when half of a row of metrics.csv is on the disk."""

    def half(logger: CsvLogger, metrics: dict[str, float], step: int) -> None:
        if step >= last and logger.path.name == "metrics.csv":
            with open(logger.path, "a", encoding="utf-8") as file:
                file.write(str(step)[:1])  # as if it were an earlier step's
            die()

    before_call(CsvLogger, "log_metrics", half)


def asked_to_leave(step: int, number: int = signal.SIGTERM) -> None:
    """Get a signal in the middle of a step, as from a scheduler; of several processes the last one alone does."""

    def ask(task: BaseTask, *_: Any) -> None:
        if task.global_step == step and task.global_rank == task.trainer.world_size - 1:
            os.kill(os.getpid(), number)

    before_call(BaseTask, "on_train_batch_end", ask)


def time_is_over(step: int) -> None:
    """The signal before a job's time is over."""
    asked_to_leave(step, signal.SIGUSR1)


def asked_in_a_validation(step: int) -> None:
    """Get a signal while a clip is scored."""
    before_call(
        BaseTask, "log_losses", lambda task, *_: task.global_step == step and os.kill(os.getpid(), signal.SIGTERM)
    )


def validate(arguments: Sequence[str]) -> int:
    """Score a finished run's last checkpoint once more, on as many processes as the arguments say."""
    config = load_config(arguments)
    data = build_data(config)
    task = build_task(config, data)
    task.notes = describe_training(config, data, task)
    trainer = build_trainer(config, RunDirectory(Path("validated")), task, data, None)
    (scores,) = trainer.validate(task, data, ckpt_path=config.ckpt, verbose=False)
    if trainer.is_global_zero:
        Path("scores.json").write_text(json.dumps(scores))
    return 0


def _run(
    job: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    point: Point | None,
) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of the loaders' workers, as in a run of one's own
    log = open(folder / f"log{environment.get('RANK', environment.get('SLURM_PROCID', ''))}.txt", "a")  # noqa: SIM115 (for as long as it lives)
    os.dup2(log.fileno(), sys.stdout.fileno())
    os.dup2(log.fileno(), sys.stderr.fileno())
    if point is not None:
        plan, step = point
        plan(step)
    sys.exit(guarded(lambda: job(arguments)))


def start(
    arguments: Sequence[str],
    folder: Path,
    *,
    processes: int = 1,
    cluster: Callable[[int, int], dict[str, str]] | None = None,
    point: Point | None = None,
    job: Callable[[Sequence[str]], int] = main,
) -> list[BaseProcess]:
    """Start a run in a folder.

    Args:
        arguments: of ``train.py``.
        folder: to run in.
        processes: of the run, started one by one as a cluster does it.
        cluster: gives the environment of a process from its rank and a free port; torchrun's when None.
        point: where they die; the run ends by itself when None.
        job: what they do; training by default.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    environments: list[dict[str, str]] = [{}]
    if processes > 1 or cluster:
        environments = [(cluster or torchrun)(rank, port) for rank in range(processes)]
        arguments = [*arguments, f"trainer.devices={processes}", "trainer.strategy=ddp"]
    started = [SERVER.Process(target=_run, args=(job, arguments, folder, own, point)) for own in environments]
    for process in started:
        process.start()
    return started


def torchrun(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells the processes of one machine."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "none",
    }


def finish(processes: Sequence[BaseProcess], *, seconds: float = 300) -> list[int | None]:
    """Wait for the first process, and then for the others, which die with it if it was killed; return exit codes."""
    processes[0].join(seconds)
    for process in processes:
        if processes[0].exitcode != 0:
            process.kill()  # as a scheduler does with what is left of a job
        process.join(seconds)
    return [process.exitcode for process in processes]


def log_of(folder: Path) -> str:
    """What the run's processes said."""
    return "\n".join(log.read_text() for log in sorted(folder.glob("log*.txt")))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
