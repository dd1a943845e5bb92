"""Where the work of preprocess is done: in processes of this machine, or on a Ray cluster.

Both take the same function to the same tasks and give the same results, in whatever order; what is written with them is
the same bit for bit. Both try a task whose process died once more, in a new process.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from expnet.data.preprocess.isolated_workers import TRIES, WorkerDiedError, isolated_map
from expnet.errors import InputError, MissingAssetError

Task = TypeVar("Task")
Result = TypeVar("Result")

ENGINES = ("local", "ray")
# A machine that is taken away is not the fault of what it was working on, but a task must not go on for ever.
_MOST_PREEMPTIONS = 20

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """Something that works through a list."""

    def map(
        self, make_function: Callable[[], Callable[[Task], Result]], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Apply a function to tasks; yield (task, result) in the order of completion.

        Args:
            make_function: Called once in each process; must be importable there, as must everything that is sent.
            tasks: What to work on.

        Yields:
            The task and its result, or the exception that it raised, or :class:`WorkerDiedError`.
        """
        ...


def open_engine(name: str, workers: int, address: str | None = None) -> Engine:
    """Engine by name.

    Args:
        name: ``local`` or ``ray``.
        workers: Number of processes.
        address: Of a Ray cluster; see :class:`RayEngine`.

    Raises:
        InputError: If there is no such engine.
        MissingAssetError: If Ray is not installed.
    """
    if name == "local":
        return LocalEngine(workers)
    if name == "ray":
        return RayEngine(workers, address)
    raise InputError(f"there is no engine {name!r}; choose {' or '.join(ENGINES)}")


@dataclass(frozen=True)
class LocalEngine:
    """Processes of this machine.

    Args:
        workers: Their number; 0 works in this one, where a crash ends the run.
    """

    workers: int = 1

    def map(
        self, make_function: Callable[[], Callable[[Task], Result]], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Apply a function to tasks."""
        return isolated_map(make_function, tasks, self.workers)


class RayEngine:
    """Actors of a Ray cluster, one task at a time each.

    The machines of the cluster must see the videos and the store at the same paths as this one (a shared file system,
    or a URL for the store), and have expnet installed.

    Args:
        workers: Number of actors, each with a core; those that find no core wait until there is one.
        address: ``local`` for processes of this machine; ``auto``, ``host:port`` or ``ray://host:port`` for a cluster
            that is running. By default the one of ``$RAY_ADDRESS``, or else local. A program that has Ray running
            already stays with that.

    Raises:
        MissingAssetError: If Ray is not installed.
    """

    def __init__(self, workers: int, address: str | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
        try:
            import ray
        except ImportError as error:
            raise MissingAssetError("Ray is not installed; pip install 'expnet[ray]' or use --engine local") from error
        self._ray = ray
        self.workers = max(workers, 1)
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"

    def map(
        self, make_function: Callable[[], Callable[[Task], Result]], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Exception]]:
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
                f"there is no Ray cluster at {self.address} ({error}); start one with 'ray start --head', or leave "
                "the address out"
            ) from error

    def _work(
        self, make_function: Callable[[], Callable[[Task], Result]], queue: "deque[_Attempt]"
    ) -> Iterator[tuple[Task, Result | Exception]]:
        actor_class: Any = self._ray.remote(num_cpus=1)(_Actor)
        idle: list[Any] = []
        busy: dict[Any, tuple[Any, _Attempt]] = {}
        while queue or busy:
            while queue and len(busy) < self.workers:
                actor = idle.pop() if idle else actor_class.remote(make_function, os.getcwd())
                attempt = queue.popleft()
                busy[actor.run.remote(attempt.task)] = actor, attempt
            # An actor without work ends here, and leaves its core to one that still waits for a core.
            idle.clear()
            (ready,), _ = self._ray.wait(list(busy))
            actor, attempt = busy.pop(ready)
            try:
                result = self._ray.get(ready)
            except self._ray.exceptions.RayError as error:
                _log.warning("A process died at %s: %s", attempt.task, error)
                if attempt.again(preempted=getattr(error, "preempted", False)):
                    queue.append(attempt)
                else:
                    yield attempt.task, WorkerDiedError(attempt.tries)
                continue
            idle.append(actor)
            yield attempt.task, result


@dataclass
class _Attempt:
    task: Any
    tries: int = 1
    preemptions: int = 0

    def again(self, *, preempted: bool) -> bool:
        """Count a failure; return whether to try again."""
        if preempted and self.preemptions < _MOST_PREEMPTIONS:
            self.preemptions += 1
            return True
        if self.tries == TRIES:
            return False
        self.tries += 1
        return True


class _Actor:
    """Answers tasks; exceptions are answers, so that only a death is an error of Ray's."""

    def __init__(self, make_function: Callable[[], Callable[[Any], Any]], folder: str) -> None:
        with suppress(OSError):  # relative paths mean what they mean to who started the run
            os.chdir(folder)
        self._function: Callable[[Any], Any] | Exception
        try:
            self._function = make_function()
        except Exception as error:  # noqa: BLE001 - sent to the driver, which raises it
            self._function = error

    def run(self, task: Any) -> Any:
        """Apply the function."""
        if isinstance(self._function, Exception):
            return self._function
        try:
            return self._function(task)
        except Exception as error:  # noqa: BLE001 - sent to the driver, which decides
            return error
