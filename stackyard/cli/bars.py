"""The steps of an apply on a terminal: a bar for each VM that is worked on, and one for all."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from stackyard.cli.steps import trouble

if TYPE_CHECKING:
    from stackyard.nornir.processor import Event


class StepBars:
    """A listener; a VM's bar is there from its first step to its last, troubles stay above."""

    def __init__(self, vms: int) -> None:
        # Asked for by its caller: rich would take a variable's word for what a terminal is.
        self._console = Console(stderr=True, highlight=False, force_terminal=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[step]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            redirect_stdout=False,
        )
        self._all = self._progress.add_task("VMs", total=vms, step="")
        self._bars: dict[str, TaskID] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, event: "Event") -> None:
        """Show an event."""
        if event.state == "started":
            self._begin(event)
        elif event.name in self._bars:
            self._advance(event)
        else:  # refused before its first step
            self._end(event)
        if said := trouble(event):
            self._console.print(Text(f"{event.name}: {said}"))

    def _begin(self, event: "Event") -> None:
        if event.name not in self._bars:
            bar = self._progress.add_task(event.name, total=event.steps, step=event.step)
            self._bars[event.name] = bar
        self._progress.update(self._bars[event.name], step=event.step)

    def _advance(self, event: "Event") -> None:
        bar = self._bars[event.name]
        self._progress.advance(bar)
        task = next(task for task in self._progress.tasks if task.id == bar)
        if event.state == "failed" or task.finished:
            self._progress.remove_task(self._bars.pop(event.name))
            self._end(event)

    def _end(self, event: "Event") -> None:
        self._ended.add(event.name)  # one that lost its VMID is made again, and ends twice
        self._progress.update(self._all, completed=len(self._ended))
