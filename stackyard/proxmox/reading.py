"""Threads for reads that are in flight together; nobody who leaves waits for a hung one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from stackyard.proxmox.client import Client

AT_ONCE = 16  # pveproxy serves with three workers a node: more in flight gains nothing


@contextmanager
def reading(client: Client) -> Iterator[ThreadPoolExecutor]:
    """Give threads for a client's reads; one that is interrupted stops the client."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            client.stop()
            raise
