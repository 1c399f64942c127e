"""Signals while VMs are changed: what runs is shown and waited for, or left to go on in Proxmox."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

import typer

from stackyard.cli.leave import SIGNALS
from stackyard.proxmox.halt import Halt

INTERRUPTED = "interrupted"


@contextmanager
def halting(halt: Halt, *numbers: int) -> Iterator[None]:
    """Let signals call the halt, so that threads begin nothing more, and then do what they do."""
    before = {n: handler for n in numbers if callable(handler := signal.getsignal(n))}

    def stop(number: int, frame: FrameType | None) -> None:
        halt.call(INTERRUPTED)
        before[number](number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def heeding(halt: Halt, running: Callable[[], Mapping[str, str]]) -> Iterator[None]:
    """Let the first SIGINT call the halt; a second one, SIGTERM and SIGHUP also leave at once."""
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

    before = signal.getsignal(signal.SIGINT)
    if callable(before):  # in a shell's background it is ignored, and stays so
        signal.signal(signal.SIGINT, heed)
    try:
        with halting(halt, *SIGNALS):
            yield
    finally:
        signal.signal(signal.SIGINT, before)
