"""Prefetched frames: their order, their number, and errors in the right place."""

import threading
from collections.abc import Iterator

import pytest

from expnet.render.frame_prefetch import prefetch


def test_gives_everything_in_order_from_another_thread() -> None:
    threads = set()

    def numbers() -> Iterator[int]:
        for number in range(20):
            threads.add(threading.get_ident())
            yield number

    assert list(prefetch(numbers())) == list(range(20))
    assert list(prefetch([])) == []
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_makes_no_more_than_asked_in_advance_and_stops_with_the_reader() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    reader = prefetch(numbers(), depth=3)
    assert next(reader) == 0
    reader.close()
    assert 1 <= len(made) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_raises_an_error_after_the_items_before_it() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    reader = prefetch(numbers())
    assert [next(reader), next(reader)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(reader)
