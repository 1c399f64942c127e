"""What happens, while it happens: Nornir's events for whoever shows progress or keeps a log."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Task

from stackyard.errors import StackyardError
from stackyard.plan.sides import sides
from stackyard.plan.values import Action
from stackyard.proxmox.apply import Done
from stackyard.proxmox.errors import InterruptedRunError
from stackyard.proxmox.halt import Halt

State = Literal["started", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Event:
    """One step of one VM began or ended; what it changes, and the tasks that did it."""

    name: str
    vmid: int
    node: str
    step: str
    state: State
    detail: str = ""  # of a failure; of a success its warning
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    upids: tuple[str, ...] = ()
    steps: int = 1  # of all that happens to this VM


class EventProcessor:
    """Calls back for each step; never from two threads at once.

    Nothing is begun that cannot be told: a listener that fails halts the run, and what runs then
    goes on to its end.
    """

    def __init__(self, halt: Halt, *listeners: Callable[[Event], None]) -> None:
        self._halt = halt
        self._listeners = listeners
        self._lock = threading.Lock()
        self._lost: list[tuple[str, Event]] = []

    @property
    def failure(self) -> str:
        """Why a listener failed, and what it was not told; empty if all were told everything."""
        if not self._lost:
            return ""
        lost = dict.fromkeys(f"{e.step} of {e.name} ({e.state})" for _why, e in self._lost)
        return f"{self._lost[0][0]}; what was not told there: {', '.join(lost)}"

    def task_started(self, task: Task) -> None:
        """Nothing: a plan was shown before."""

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Nothing: the outcome says it."""

    def task_instance_started(self, task: Task, host: Host) -> None:
        """Nothing: the first step follows."""

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Tell a failure that no step had, such as a refusal before the first one.

        Who was not begun for the run was halted did not fail, and the outcome says it.
        """
        error = result[0].exception
        if result[0].failed and len(result) == 1 and not isinstance(error, InterruptedRunError):
            self._tell(task.name, host, "failed", str(error or ""))

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Tell that a step began."""
        self._tell(task.name, host, "started")

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Tell how a step ended."""
        state: State = "failed" if result[0].failed else "done"
        done: Done = result[0].result
        self._tell(task.name, host, state, str(result[0].exception or done.warning), done)

    def _tell(
        self, step: str, host: Host, state: State, detail: str = "", done: object = None
    ) -> None:
        action: Action = host["action"]
        before, after = sides(done.step) if isinstance(done, Done) else ({}, {})
        upids = done.upids if isinstance(done, Done) else ()
        place = (host.name, action.vmid, action.node)
        steps = len(action.steps)
        self.tell(Event(*place, step, state, detail, before, after, upids, steps))

    def tell(self, event: Event) -> None:
        """Tell all listeners, even if one of them fails."""
        with self._lock:
            for listener in self._listeners:
                try:
                    listener(event)
                except StackyardError as error:
                    self._lose(str(error), event)
                except OSError as error:
                    self._lose(f"progress cannot be shown ({error.strerror})", event)

    def _lose(self, why: str, event: Event) -> None:
        self._lost.append((why, event))
        self._halt.call(f"halted, for {why}")
