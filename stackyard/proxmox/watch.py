"""Requests that take long: told of once, and given up when all of their time is over.

A socket's timeout begins anew with every byte, so that by it a server that drips is never late.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from urllib3.connection import HTTPSConnection

SLOW_SECONDS = 5.0
LOOK_SECONDS = 0.5


@dataclass(eq=False, slots=True)
class Flight:
    """A request under way, and the socket that it waits at."""

    begun: float = field(default_factory=time.monotonic)
    sock: socket.socket | None = None
    is_sent: bool = False  # there is a connection, and the request goes over it
    is_late: bool = False  # its time is over, and its connection was broken for that


class _Own(threading.local):
    flight: Flight | None = None


_OWN = _Own()


class WatchedConnection(HTTPSConnection):
    """Tells its thread's flight how far it is, and which socket it waits at."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send the request, as urllib3 does."""
        if _OWN.flight is not None:
            _OWN.flight.is_sent = True
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        """Wait for the answer, as urllib3 does."""
        if _OWN.flight is not None:
            _OWN.flight.sock = self.sock
        return super().getresponse()


class Watch:
    """Watches the requests of many threads; `tell` is told once that they are slow.

    Its thread lives while there are requests, so that nobody has to end it.
    """

    def __init__(self, seconds: float, tell: Callable[[], None]) -> None:
        self.seconds = seconds
        self._tell = tell
        self._guard = threading.Lock()
        self._flights: set[Flight] = set()
        self._is_watching = self._is_told = False

    @contextmanager
    def over(self) -> Iterator[Flight]:
        """Watch the request that is made meanwhile by this thread."""
        flight = _OWN.flight = Flight()
        # Added before it is asked for a watch, without the guard: of a thousand quick requests each
        # would wait for it.
        self._flights.add(flight)
        if not self._is_watching:
            self._begin()
        try:
            yield flight
        finally:
            _OWN.flight = None
            self._flights.discard(flight)

    def _begin(self) -> None:
        with self._guard:
            begins, self._is_watching = not self._is_watching, True
        if begins:
            threading.Thread(target=self._watch, name="slow-requests", daemon=True).start()

    def _is_over(self) -> bool:
        """Stop watching if nothing is under way: whoever comes after that begins anew."""
        with self._guard:
            self._is_watching = False
            self._is_watching = bool(self._flights)
            return not self._is_watching

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            flights = tuple(self._flights)
            if not flights:
                if self._is_over():
                    return
                continue
            is_slow = self._give_up_late(flights) >= SLOW_SECONDS
            if is_slow and not self._is_told:
                with suppress(OSError):  # nobody listens any more, and there is more to watch
                    self._tell()
            self._is_told = is_slow  # so that those of an hour later are told of again

    def _give_up_late(self, flights: tuple[Flight, ...]) -> float:
        """Break the connections of those that are late; return the age of the oldest, in s."""
        now = time.monotonic()
        for flight in flights:
            if now - flight.begun >= self.seconds and flight.sock is not None:
                flight.is_late = True
                with suppress(OSError):  # not that of TLS, which is no other thread's to call
                    socket.socket.shutdown(flight.sock, socket.SHUT_RDWR)
        return now - min(flight.begun for flight in flights)
