"""Reads side by side: in order, until one fails, and left at once."""

import signal
import threading
import time
from typing import Any, cast

import pytest

from stackyard.proxmox.client import Client
from stackyard.proxmox.reading import AT_ONCE, reading


class Stopped:
    """A client that only notes that it was stopped."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def stop(self) -> None:
        self.over.set()


def as_client(stopped: Stopped) -> Client:
    return cast("Client", stopped)


def test_an_interruption_that_another_thread_got_is_heard() -> None:
    """As one that comes just before the main thread sleeps, which no signal wakes any more."""
    stopped, said = Stopped(), []

    def read(_item: Any) -> None:
        time.sleep(0.3)  # until the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        said.append(stopped.over.wait(20))

    def look() -> None:
        with reading(as_client(stopped)) as readers:
            readers.map(str, [1])  # its thread is there before
            readers.map(read, [1])

    with pytest.raises(KeyboardInterrupt):
        look()
    assert said == [True]


def test_what_is_read_comes_in_order_and_a_failure_as_it_is() -> None:
    begun, free = [], threading.Event()

    def read(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise TimeoutError("of its own")
        if item > 1:
            free.wait()
        return item

    with reading(as_client(Stopped())) as readers:
        assert readers.map(lambda item: item * 2, range(100)) == list(range(0, 200, 2))
        held = [readers.begin(free.wait) for _ in range(AT_ONCE - 1)]
        try:
            with pytest.raises(TimeoutError, match="of its own"):
                readers.map(read, range(100))
        finally:
            free.set()
        assert all(one.result() for one in held)
    assert len(begun) <= 3
