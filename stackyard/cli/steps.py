"""Each step of an apply as a line on stderr, and what is running now."""

import time
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from stackyard.nornir.processor import Event


class StepLines:
    """A listener of `EventProcessor`."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._running: dict[str, str] = {}

    @property
    def running(self) -> dict[str, str]:
        """The steps that run now, by VM."""
        return dict(self._running)

    def __call__(self, event: "Event") -> None:
        """Show a step that began or failed."""
        if event.state == "started":
            self._running[event.name] = event.step
        else:
            self._running.pop(event.name, None)
        if event.state == "done":
            return
        seconds = time.monotonic() - self._began
        said = event.step if event.state == "started" else f"{event.step} failed: {event.detail}"
        typer.echo(f"[{seconds:5.1f} s] {event.name}: {said}", err=True)
