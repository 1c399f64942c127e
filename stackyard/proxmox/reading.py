"""Threads for reads that are in flight together; nobody who leaves waits for a hung one."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from stackyard.proxmox.client import Client

AT_ONCE = 16  # pveproxy serves with three workers a node: more in flight gains nothing
LOOK_SECONDS = 0.5  # Python runs no handler of a signal that comes just before its thread sleeps

Item = TypeVar("Item")
Read = TypeVar("Read")


class Readers:
    """The threads, for whoever waits for what they read and may be interrupted."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def begin(self, read: Callable[[], Read]) -> Future[Read]:
        """Begin one read; `result_of` waits for it."""
        return self._pool.submit(read)

    def map(self, read: Callable[[Item], Read], items: Iterable[Item]) -> list[Read]:
        """Return what is read of each item; the first failure is raised, and no more is begun."""
        futures = [self._pool.submit(read, item) for item in items]
        try:
            return [result_of(future) for future in futures]
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def reading(client: Client) -> Iterator[Readers]:
    """Give threads for a client's reads; one that is interrupted stops the client."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield Readers(pool)
        except KeyboardInterrupt:
            client.stop()
            raise


def result_of(future: Future[Read]) -> Read:
    """Wait for a result in such a way that a signal is heard; what was raised is raised here."""
    while not future.done():
        with suppress(TimeoutError):
            return future.result(LOOK_SECONDS)
    return future.result()
