"""Each step of an apply on stderr: bars on a terminal, plain lines elsewhere."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stackyard.nornir.processor import Event
    from stackyard.plan import Plan
    from stackyard.proxmox.apply import Reached

    Listener = Callable[[Event], None]


class Running:
    """A listener that knows the steps that run now."""

    def __init__(self) -> None:
        self._steps: dict[str, str] = {}

    @property
    def steps(self) -> dict[str, str]:
        """Return them, by VM."""
        return dict(self._steps)

    def __call__(self, event: "Event") -> None:
        """Note that a step began or ended."""
        if event.state == "started":
            self._steps[event.name] = event.step
        else:
            self._steps.pop(event.name, None)


class Record:
    """A listener that knows how far each VM came, for when an apply is left before it can say."""

    def __init__(self) -> None:
        self._done: dict[str, list[str]] = {}
        self._last: dict[str, Event] = {}

    def __call__(self, event: "Event") -> None:
        """Note a step's beginning or end."""
        self._last[event.name] = event
        if event.state == "done":
            self._done.setdefault(event.name, []).append(event.step)

    def reached(self, plan: "Plan") -> "Iterator[Reached]":
        """Yield what each action of a plan came to, as far as anybody was told."""
        from stackyard.proxmox.apply import Reached

        for action in plan.actions:
            last, done = self._last.get(action.name), tuple(self._done.get(action.name, ()))
            node, vmid = (last.node, last.vmid) if last else (action.node, action.vmid)
            error = _why_left(last, len(done))
            yield Reached(action.name, node, vmid, action.verb, done, error, "not read")


def _why_left(last: "Event | None", done: int) -> str | None:
    if last is None:
        return "not begun"
    if last.state == "failed":
        tasks = f" (its task in Proxmox: {', '.join(last.upids)})" if last.upids else ""
        return f"{last.step}: {last.detail}{tasks}"
    return None if done == last.steps else "interrupted; run it again to finish"


class StepLines:
    """A listener that prints a line for each step that begins, fails or warns."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, event: "Event") -> None:
        """Show an event."""
        said = event.step if event.state == "started" else trouble(event)
        if said:
            seconds = time.monotonic() - self._began
            typer.echo(f"[{seconds:5.1f} s] {event.name}: {said}", err=True)


def trouble(event: "Event") -> str:
    """Say how a step failed, or what it warned of; nothing where it just went well."""
    if event.state == "failed":
        return f"{event.step} failed: {event.detail}"
    return f"{event.step} warns: {event.detail}" if event.detail else ""


def display(vms: int) -> "AbstractContextManager[Listener]":
    """Return what shows the steps of so many VMs, where stderr leads to."""
    from stackyard.cli.terminal import is_live

    if not is_live():
        return nullcontext(StepLines())
    from stackyard.cli.bars import StepBars

    return StepBars(vms)
