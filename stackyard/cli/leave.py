"""SIGTERM and SIGHUP end a command as Ctrl-C does: told, cleaned up, and with a code of their own.

A cancelled CI job and `timeout` send the first, a terminal that closes the second; most of them
kill hard some seconds later.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Leaving:
    """Which of the signals came, if any."""

    def __init__(self) -> None:
        self._number = 0

    def __bool__(self) -> bool:
        return bool(self._number)

    @property
    def exit_code(self) -> int:
        """What shells make of a process that a signal ended; 0 while none came."""
        return 128 + self._number if self._number else 0

    def leave(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal; one that follows must not break off what is told and cleaned up.

        Raises:
            KeyboardInterrupt: it is the first one.
        """
        if not self._number:
            self._number = number
            raise KeyboardInterrupt


@contextmanager
def heard() -> Iterator[Leaving]:
    """Let the signals raise KeyboardInterrupt; those that were ignored (nohup) stay ignored."""
    leaving = Leaving()
    numbers = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, leaving.leave)
    try:
        yield leaving
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
