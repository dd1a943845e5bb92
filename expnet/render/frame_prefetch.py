"""Draw the next frames while the ones before them are encoded."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 4
"""Frames that may lie drawn and not yet encoded."""
_END = object()


def prefetch(items: Iterable[Item], depth: int = DEPTH) -> Iterator[Item]:
    """Yield items in order while a thread already makes the next ones.

    The compiled loops of the renderer and the encoder both let go of the interpreter, so that they run side by side.

    Args:
        items: made in that thread, one after the other.
        depth: how many are made in advance.

    Yields:
        The items; an error in making one is raised in its place.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        made = deque(pool.submit(next, source, _END) for _ in range(depth))
        while (item := made.popleft().result()) is not _END:
            made.append(pool.submit(next, source, _END))
            yield item  # type: ignore[misc]
    finally:
        pool.shutdown(cancel_futures=True)
