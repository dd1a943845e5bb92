"""Ending a process that the system stops as an error ends it, so that half-written files are removed on the way."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# SIGTERM: kill, schedulers, containers. SIGHUP (not on Windows): the terminal or the connection to it was closed.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopSignal(SystemExit):
    """The process was asked to stop; ends it with exit code 128 + signal, as shells report it.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.exit_code = 128 + number


@contextlib.contextmanager
def unwinding_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into a `StopSignal` within the block.

    Signals that are ignored (``nohup``) or handled already (a training that saves first) are left alone, and so are
    processes forked within the block, which end at once.
    """
    owner = os.getpid()
    taken: list[signal.Signals] = []

    def stop(number: int, _: FrameType | None) -> NoReturn:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        for one in taken:  # a second signal must not interrupt the removal of files
            signal.signal(one, signal.SIG_IGN)
        raise StopSignal(number)

    # Only the main thread may install handlers.
    if threading.current_thread() is threading.main_thread():
        taken = [one for one in _SIGNALS if signal.getsignal(one) == signal.SIG_DFL]
    for one in taken:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, signal.SIG_DFL)
