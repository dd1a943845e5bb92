"""Process a list in child processes, so that a crash in a decoder costs one item and not the run."""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

# Children are spawned: a fork would copy the locks of threads that it does not copy.
START_METHOD = "spawn"
TRIES = 2
"""How often a task is tried if its process dies."""
_PR_SET_PDEATHSIG = 1
_CRASHES = [
    getattr(signal, name) for name in ("SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP") if hasattr(signal, name)
]
"""Signals by which a process ends because of what it does itself; Windows does not have all of them."""

_log = logging.getLogger(__name__)


class WorkerDiedError(Exception):
    """The process of a task died without raising an exception, each time it was tried.

    The message becomes part of the store, so it does not depend on the engine or the cause; the log has the details.

    Attributes:
        tries: How often the task was tried.
        killed: Whether something outside ended the process (Linux does when memory runs out), which says nothing about
            the task; otherwise the process crashed by itself.
    """

    def __init__(self, tries: int, *, killed: bool = False) -> None:
        super().__init__(f"it died {tries} times")
        self.tries = tries
        self.killed = killed


@dataclass
class _Worker(Generic[Task]):
    process: Any
    connection: Connection
    task: Task
    tries: int


def isolated_map(
    make_function: Callable[[], Callable[[Task], Result]], tasks: Iterable[Task], workers: int
) -> Generator[tuple[Task, Result | Exception], None, None]:
    """Apply a function to tasks in child processes; yield (task, result) in the order of completion.

    A task whose process dies (killed, out of memory, a crash in native code) is retried once in a new process.

    Args:
        make_function: Called once in each child. It must be importable, as must everything that is sent.
        tasks: The tasks.
        workers: Number of processes; 0 runs tasks in the calling process.

    Yields:
        Each task with its result, the exception that it raised, or :class:`WorkerDiedError`.
    """
    if workers == 0:
        function = make_function()
        for task in tasks:
            result: Result | Exception
            try:
                result = function(task)
            except Exception as error:  # noqa: BLE001 - the caller decides, as about those of children
                result = error
            yield task, result
        return
    context = multiprocessing.get_context(START_METHOD)
    queue: deque[tuple[Task, int]] = deque((task, 1) for task in tasks)
    idle: list[tuple[Any, Connection]] = []
    busy: list[_Worker[Task]] = []
    try:
        while queue or busy:
            while queue and len(busy) < workers:
                process, connection = idle.pop() if idle else _start(context, make_function)
                task, tries = queue.popleft()
                busy.append(_Worker(process, connection, task, tries))
                # If the process has died already, that is noticed below when no result arrives.
                with contextlib.suppress(OSError):
                    connection.send(task)
            for ready in wait([worker.connection for worker in busy]):
                worker = next(worker for worker in busy if worker.connection is ready)
                busy.remove(worker)
                try:
                    result = worker.connection.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    _log.warning("A process died with exit code %s at %s.", worker.process.exitcode, worker.task)
                    if worker.tries < TRIES:
                        queue.append((worker.task, worker.tries + 1))
                    else:
                        killed = (worker.process.exitcode or 0) < 0 and -worker.process.exitcode not in _CRASHES
                        yield worker.task, WorkerDiedError(worker.tries, killed=killed)
                    continue
                idle.append((worker.process, worker.connection))
                yield worker.task, result
    finally:
        for process, connection in [*idle, *((worker.process, worker.connection) for worker in busy)]:
            connection.close()
            process.kill()
            process.join()


def _start(context: Any, make_function: Callable[[], Callable[[Any], Any]]) -> tuple[Any, Connection]:
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, make_function, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    return process, mine


def _serve(connection: Connection, make_function: Callable[[], Callable[[Any], Any]], parent: int) -> None:
    """Process tasks until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if sys.platform == "linux":  # die with the parent instead of writing on
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    function: Callable[[Any], Any] | Exception
    try:
        function = make_function()
    except Exception as error:  # noqa: BLE001 - sent to the parent, which raises it
        function = error
    while os.getppid() == parent:
        try:
            task = connection.recv()
        except EOFError:
            return
        if isinstance(function, Exception):
            connection.send(function)
            continue
        try:
            connection.send(function(task))
        except Exception as error:  # noqa: BLE001 - sent to the parent, which decides
            connection.send(error)
