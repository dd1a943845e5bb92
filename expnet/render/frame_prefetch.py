"""Renders the next frames while the previous ones are encoded."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 4
"""Largest number of frames that are rendered and not yet encoded."""
_END = object()


def prefetch(items: Iterable[Item], depth: int = DEPTH) -> Iterator[Item]:
    """Yield items in order while a background thread already makes the next ones.

    The renderer's compiled loops and the encoder both release the GIL, so they run in parallel.

    Args:
        items: The items, made one after the other in the background thread.
        depth: How many items are made in advance.

    Yields:
        The items; an error while making an item is raised in its place.
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
