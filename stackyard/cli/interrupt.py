"""Ctrl-C while VMs are changed: what runs is shown and waited for; a second one leaves at once."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

import typer

from stackyard.proxmox.halt import Halt

INTERRUPTED = "interrupted"


@contextmanager
def heeding(halt: Halt, running: Callable[[], Mapping[str, str]]) -> Iterator[None]:
    """Let the first SIGINT call the halt; the second one raises KeyboardInterrupt."""
    count = 0

    def heed(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise KeyboardInterrupt
        halt.call(INTERRUPTED)
        steps = ", ".join(f"{name} ({step})" for name, step in sorted(running().items()))
        with suppress(OSError):  # whoever read may be gone, which is no reason not to wait
            typer.echo(
                f"interrupted: nothing more is begun; waiting for {steps or 'nothing'} "
                "(once more to leave at once)",
                err=True,
            )

    before = signal.signal(signal.SIGINT, heed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
