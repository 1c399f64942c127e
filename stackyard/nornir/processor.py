"""What happens, while it happens: Nornir's events as progress for people and as an audit log."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Task

from stackyard.plan.sides import sides
from stackyard.plan.values import Action
from stackyard.proxmox.apply import Done

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


class EventProcessor:
    """Calls back for each step; never from two threads at once."""

    def __init__(self, *listeners: Callable[[Event], None]) -> None:
        self._listeners = listeners
        self._lock = threading.Lock()

    def task_started(self, task: Task) -> None:
        """Nothing: a plan was shown before."""

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Nothing: the outcome says it."""

    def task_instance_started(self, task: Task, host: Host) -> None:
        """Nothing: the first step follows."""

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Tell a failure that no step had, such as a refusal before the first one."""
        if result[0].failed and len(result) == 1:
            self._tell(task.name, host, "failed", str(result[0].exception or ""))

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
        place = (host.name, action.vmid, action.node)
        event = Event(*place, step, state, detail)
        if isinstance(done, Done):
            before, after = sides(done.step)
            event = Event(*place, step, state, detail, before, after, done.upids)
        with self._lock:
            for listener in self._listeners:
                listener(event)


class AuditLog:
    """A listener that appends a JSON line for each step that ended; its file is 0600."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._file: TextIO = os.fdopen(descriptor, "a", encoding="utf-8")

    def __call__(self, event: Event) -> None:
        """Write the event, unless it is a mere beginning."""
        if event.state == "started":
            return
        line: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "vm": event.name,
            "vmid": event.vmid,
            "node": event.node,
            "action": event.step,
            "before": event.before,
            "after": event.after,
            "task": list(event.upids),
            "result": event.state,
        }
        if event.detail:
            line["error" if event.state == "failed" else "warning"] = event.detail
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
