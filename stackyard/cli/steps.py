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
        """Show a step that began, failed or warned."""
        if event.state == "started":
            self._running[event.name] = event.step
        else:
            self._running.pop(event.name, None)
        said = {"started": event.step, "failed": f"{event.step} failed: {event.detail}"}
        if event.detail:
            said["done"] = f"{event.step} warns: {event.detail}"
        if event.state in said:
            seconds = time.monotonic() - self._began
            typer.echo(f"[{seconds:5.1f} s] {event.name}: {said[event.state]}", err=True)
