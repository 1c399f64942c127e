"""Ctrl-C while VMs are changed: what runs is shown and waited for; a second one leaves at once."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import typer


@contextmanager
def heeding(running: Callable[[], Mapping[str, str]]) -> Iterator[threading.Event]:
    """Give an event that the first SIGINT sets; the second one raises KeyboardInterrupt."""
    halt = threading.Event()

    def heed(_number: int, _frame: FrameType | None) -> None:
        if halt.is_set():
            raise KeyboardInterrupt
        halt.set()
        steps = ", ".join(f"{name} ({step})" for name, step in sorted(running().items()))
        typer.echo(
            f"interrupted: nothing more is begun; waiting for {steps or 'nothing'} "
            "(once more to leave at once)",
            err=True,
        )

    before = signal.signal(signal.SIGINT, heed)
    try:
        yield halt
    finally:
        signal.signal(signal.SIGINT, before)
