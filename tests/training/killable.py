"""Training runs in separate processes that are killed with SIGKILL at a chosen point.

The processes are forked from a server that has imported everything, so that each starts in one second, not ten.
"""

import io
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.nn.parallel import DistributedDataParallel

from expnet.cli import guarded
from expnet.config import load_config
from expnet.training.callbacks.csv_logger import CsvLogger
from expnet.training.main import build_data, build_trainer, main
from expnet.training.run_folder import RunDirectory
from expnet.training.tasks import base_task
from expnet.training.tasks.base_task import BaseTask
from expnet.training.tasks.build import build_task, describe_training

Point = tuple[Callable[[int], None], int]
"""How a run is stopped, and at which step."""
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
    """End without any clean-up, as in a power failure."""
    os.kill(os.getpid(), signal.SIGKILL)


def before_call(owner: Any, name: str, instead: Callable[..., Any]) -> None:
    """Call ``instead`` with the arguments before each call of ``owner.name``."""
    original = getattr(owner, name)

    def both(*arguments: Any, **options: Any) -> Any:
        instead(*arguments, **options)
        return original(*arguments, **options)

    setattr(owner, name, both)


def in_a_step(step: int) -> None:
    """Die after the weights have moved and before their average is updated."""
    before_call(base_task, "update_average", lambda *_, **options: options["step"] == step and die())


def in_a_validation(step: int) -> None:
    """Die while the second validation clip is scored."""
    seen: list[int] = []

    def count(task: BaseTask, *_: Any) -> None:
        seen.append(task.global_step)
        if seen.count(step) == 2:
            die()

    before_call(BaseTask, "log_losses", count)


def in_a_checkpoint(step: int, name: str) -> None:
    """Die when half of the checkpoint has been written."""
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


def on_a_slow_disk(seconds: int) -> None:
    """Write each checkpoint so slowly that it takes some seconds more."""
    before_call(torch, "save", lambda *_, **__: time.sleep(seconds))


def with_a_shortened_store(step: int, *, store: Path) -> None:
    """Lose the store's shards at the end of a step, as when a file system is taken away under its memory maps."""

    def shorten(task: BaseTask, *_: Any) -> None:
        if task.global_step == step:
            for shard in store.glob("shards/*"):
                os.truncate(shard, 4096)

    before_call(BaseTask, "on_train_batch_end", shorten)


def in_last_checkpoint(step: int) -> None:
    """Die while last.ckpt, from which a run resumes, is written."""
    in_a_checkpoint(step, "last")


def in_best_checkpoint(step: int) -> None:
    """Die while best.ckpt, which precedes last.ckpt, is written."""
    in_a_checkpoint(step, "best")


def after_last_checkpoint(step: int) -> None:
    """Die right after the checkpoint was renamed into place."""
    replace = os.replace

    def then_die(source: Any, target: Any) -> None:
        replace(source, target)
        if Path(target).name == "last.ckpt" and torch.load(target, weights_only=True)["global_step"] == step:
            die()

    os.replace = then_die  # type: ignore[assignment]


def in_a_row(last: int) -> None:
    """Die when half of a row of metrics.csv has been written."""

    def half(logger: CsvLogger, metrics: dict[str, float], step: int) -> None:
        if step >= last and logger.path.name == "metrics.csv":
            with open(logger.path, "a", encoding="utf-8") as file:
                file.write(str(step)[:1])  # as if it were an earlier step's
            die()

    before_call(CsvLogger, "log_metrics", half)


def asked_to_leave(step: int, number: int = signal.SIGTERM) -> None:
    """Receive a signal in the middle of a step, as from a scheduler; of several processes only the last one does."""

    def ask(task: BaseTask, *_: Any) -> None:
        if task.global_step == step and task.global_rank == task.trainer.world_size - 1:
            os.kill(os.getpid(), number)

    before_call(BaseTask, "on_train_batch_end", ask)


def in_the_last_process(step: int, then: Callable[[], None]) -> None:
    """Do something at the end of a step, in the last of several processes only."""
    before_call(
        BaseTask,
        "on_train_batch_end",
        lambda task, *_: task.global_step == step and task.global_rank == task.trainer.world_size - 1 and then(),
    )


def hang_in_the_last_process(step: int) -> None:
    """One process stops answering, as one that the system has stopped."""
    in_the_last_process(step, lambda: time.sleep(60))


def wait_in_a_step(step: int) -> None:
    """Wait at the end of a step until the file ``waiting``, which is written there, is gone."""

    def wait() -> None:
        Path("waiting").touch()
        while Path("waiting").exists():
            time.sleep(0.05)

    in_the_last_process(step, wait)


def die_in_the_last_process(step: int) -> None:
    """One process dies, and the others are left alone."""
    in_the_last_process(step, die)


def time_is_over(step: int) -> None:
    """Receive the signal that SLURM sends before the time limit."""
    asked_to_leave(step, signal.SIGUSR1)


def counting_collectives(first: int) -> None:
    """Write the names of gloo's operations in two steps, and the number of DDP's buckets, to collectives_RANK.json."""
    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])

    def begin(task: BaseTask, *_: Any) -> None:
        if task.global_step == first:
            profiler.start()
        if task.global_step == first + 2:
            profiler.stop()
            names = [event.name for event in profiler.events() if event.name.startswith("gloo:")]
            assert isinstance(task.trainer.strategy.model, DistributedDataParallel)
            sizes = task.trainer.strategy.model._get_ddp_logging_data()["rebuilt_bucket_sizes"]
            found = {"names": names, "buckets": len(sizes.split(","))}
            Path(f"collectives_{task.global_rank}.json").write_text(json.dumps(found))

    before_call(BaseTask, "on_train_batch_start", begin)


def asked_in_a_validation(step: int) -> None:
    """Receive a signal while a validation clip is scored."""
    before_call(
        BaseTask, "log_losses", lambda task, *_: task.global_step == step and os.kill(os.getpid(), signal.SIGTERM)
    )


def validate(arguments: Sequence[str]) -> int:
    """Validate a finished run's last checkpoint again, on as many processes as the arguments say."""
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
    rank = environment.get("RANK", environment.get("SLURM_PROCID", ""))
    rank_zero_only.rank = int(rank or 0)  # which Lightning read when the server imported it, without a rank
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of the loaders' workers, as in a run of one's own
    log = open(folder / f"log{rank}.txt", "a")  # noqa: SIM115 (for as long as it lives)
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
    strategy: str = "ddp",
) -> list[BaseProcess]:
    """Start a run in a folder.

    Args:
        arguments: Arguments of ``train.py``.
        folder: Working directory.
        processes: Number of processes of the run, which are launched one by one as on a cluster.
        cluster: Returns the environment of a process for its rank and a free port; None for that of torchrun.
        point: Where the processes are stopped; None for a run that finishes.
        job: The function to run.
        strategy: Lightning's strategy for several processes.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    environments: list[dict[str, str]] = [{}]
    if processes > 1 or cluster:
        launcher = cluster or partial(torchrun, world=processes)
        environments = [launcher(rank, port) for rank in range(processes)]
        arguments = [*arguments, f"trainer.devices={processes}", f"trainer.strategy={strategy}"]
    started = [SERVER.Process(target=_run, args=(job, arguments, folder, own, point)) for own in environments]
    for process in started:
        process.start()
    return started


def torchrun(rank: int, port: int, *, world: int = 2) -> dict[str, str]:
    """The environment in which torchrun starts the processes of one machine."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "none",
    }


def finish(processes: Sequence[BaseProcess], *, seconds: float = 300) -> list[int | None]:
    """Wait for the first process, kill the others if it failed, and return all exit codes."""
    processes[0].join(seconds)
    for process in processes:
        if processes[0].exitcode != 0:
            process.kill()  # as a scheduler does with the rest of a job
        process.join(seconds)
    return [process.exitcode for process in processes]


def log_of(folder: Path) -> str:
    """The output of all processes of a run."""
    return "\n".join(log.read_text() for log in sorted(folder.glob("log*.txt")))


def free_port() -> int:
    """A free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
