"""Where preprocessing runs: in processes of this machine, or on a Ray cluster.

Both engines apply the same function to the same tasks and give the same results, in any order, so the store is the same
bit for bit. Both retry a task once, in a new process, if its process died.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from expnet.data.preprocess.isolated_workers import TRIES, WorkerDiedError, isolated_map
from expnet.errors import InputError, MissingAssetError

Task = TypeVar("Task")
Result = TypeVar("Result")

ENGINES = ("local", "ray")
# A preempted machine is no fault of its task, but a task must not be retried for ever.
_MOST_PREEMPTIONS = 20

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """Applies a function to tasks in parallel."""

    def map(
        self, make_function: Callable[[], Callable[[Task], Result]], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result | Exception], None, None]:
        """Apply a function to tasks; yield (task, result) in the order of completion.

        Closing the generator ends the processes.

        Args:
            make_function: Called once in each process. It must be importable there, as must everything that is sent.
            tasks: The tasks.

        Yields:
            Each task with its result, the exception that it raised, or :class:`WorkerDiedError`.
        """
        ...


def open_engine(name: str, workers: int, address: str | None = None) -> Engine:
    """Open an engine by name.

    Args:
        name: ``local`` or ``ray``.
        workers: Number of processes.
        address: Address of a Ray cluster; see :class:`RayEngine`.

    Raises:
        InputError: If there is no engine of this name.
        MissingAssetError: If Ray is not installed.
    """
    if name == "local":
        return LocalEngine(workers)
    if name == "ray":
        return RayEngine(workers, address)
    raise InputError(f"there is no engine {name!r}; choose {' or '.join(ENGINES)}")


@dataclass(frozen=True)
class LocalEngine:
    """Processes on this machine.

    Args:
        workers: Number of processes; 0 runs tasks in the calling process, where a crash ends the run.
    """

    workers: int = 1

    def map(
        self, make_function: Callable[[], Callable[[Task], Result]], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result | Exception], None, None]:
        """Apply a function to tasks."""
        return isolated_map(make_function, tasks, self.workers)


class RayEngine:
    """Actors on a Ray cluster, each with one task at a time.

    The machines of the cluster must have expnet installed and see the videos and the store at the same paths as this
    one (on a shared file system, or with a URL for the store).

    Args:
        workers: Number of actors with one core each; those without a free core wait for one.
        address: ``local`` for processes on this machine; ``auto``, ``host:port`` or ``ray://host:port`` for a running
            cluster. The default is ``$RAY_ADDRESS``, or else ``local``. Where Ray is initialised already, that is used.

    Raises:
        MissingAssetError: If Ray is not installed.
    """

    def __init__(self, workers: int, address: str | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage reports
        try:
            import ray
        except ImportError as error:
            raise MissingAssetError("Ray is not installed; pip install 'expnet[ray]' or use --engine local") from error
        self._ray = ray
        self.workers = max(workers, 1)
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"

    def map(
        self, make_function: Callable[[], Callable[[Task], Result]], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result | Exception], None, None]:
        """Apply a function to tasks.

        Raises:
            InputError: If the cluster cannot be reached.
        """
        queue = deque(_Attempt(task) for task in tasks)
        if not queue:
            return
        ours = not self._ray.is_initialized()
        if ours:
            self._connect()
        try:
            yield from self._work(make_function, queue)
        finally:
            if ours:
                self._ray.shutdown()

    def _connect(self) -> None:
        here: dict[str, Any] = {"num_cpus": self.workers, "include_dashboard": False}
        try:
            self._ray.init(
                self.address,
                log_to_driver=False,
                logging_level=logging.WARNING,
                **(here if self.address == "local" else {}),
            )
        except (ConnectionError, ValueError) as error:
            raise InputError(
                f"there is no Ray cluster at {self.address} ({error}); start one with 'ray start --head', or omit the "
                "address"
            ) from error

    def _work(
        self, make_function: Callable[[], Callable[[Task], Result]], queue: "deque[_Attempt]"
    ) -> Generator[tuple[Task, Result | Exception], None, None]:
        actor_class: Any = self._ray.remote(num_cpus=1)(_Actor)
        idle: list[Any] = []
        busy: dict[Any, tuple[Any, _Attempt]] = {}
        while queue or busy:
            while queue and len(busy) < self.workers:
                actor = idle.pop() if idle else actor_class.remote(make_function, os.getcwd())
                attempt = queue.popleft()
                busy[actor.run.remote(attempt.task)] = actor, attempt
            # Actors without work end here, and leave their cores to actors that wait for one.
            idle.clear()
            (ready,), _ = self._ray.wait(list(busy))
            actor, attempt = busy.pop(ready)
            try:
                result = self._ray.get(ready)
            except self._ray.exceptions.RayError as error:
                _log.warning("A process died while working on %s: %s", attempt.task, error)
                if attempt.again(preempted=getattr(error, "preempted", False)):
                    queue.append(attempt)
                else:
                    # Ray does not tell a crash from a kill, except where it ends the process or loses the machine.
                    outside = (self._ray.exceptions.OutOfMemoryError, self._ray.exceptions.NodeDiedError)
                    yield attempt.task, WorkerDiedError(attempt.tries, killed=isinstance(error, outside))
                continue
            idle.append(actor)
            yield attempt.task, result


@dataclass
class _Attempt:
    task: Any
    tries: int = 1
    preemptions: int = 0

    def again(self, *, preempted: bool) -> bool:
        """Count a failure and return whether to try again."""
        if preempted and self.preemptions < _MOST_PREEMPTIONS:
            self.preemptions += 1
            return True
        if self.tries == TRIES:
            return False
        self.tries += 1
        return True


class _Actor:
    """Runs tasks. Exceptions are returned as results, so that Ray raises an error only if the process died."""

    def __init__(self, make_function: Callable[[], Callable[[Any], Any]], folder: str) -> None:
        with suppress(OSError):  # so that relative paths mean the same as in the process that started the run
            os.chdir(folder)
        self._function: Callable[[Any], Any] | Exception
        try:
            self._function = make_function()
        except Exception as error:  # noqa: BLE001 - sent to the driver, which raises it
            self._function = error

    def run(self, task: Any) -> Any:
        """Apply the function to a task."""
        if isinstance(self._function, Exception):
            return self._function
        try:
            return self._function(task)
        except Exception as error:  # noqa: BLE001 - sent to the driver, which decides
            return error
