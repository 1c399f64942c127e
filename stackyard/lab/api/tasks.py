"""Workers: a call answers with a UPID at once, and what becomes of it stands in the task."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from stackyard.lab.api.faults import ApiError, TaskFault, invalid
from stackyard.lab.machine import MachineError

log = logging.getLogger(__name__)

Json = Mapping[str, object]
Worker = Callable[["Task"], Awaitable[None]]
_UPID = re.compile(
    r"UPID:(?P<node>[^:\s]+):[0-9A-F]{8,9}:[0-9A-F]{8,9}:[0-9A-F]{8}:[^:\s]+:[^:\s]*:[^:\s]+:"
)
_FIRST_PID = 4000


@dataclass
class Task:
    """One worker; its log grows while it runs."""

    upid: str
    node: str
    pid: int
    pstart: int
    starttime: int
    type: str
    id: str
    user: str  # with the token, if one called
    lines: list[str] = field(default_factory=list)
    endtime: int | None = None
    exitstatus: str = ""
    interrupted: str = "interrupted by signal"  # exit status when it is stopped
    handle: "asyncio.Task[None] | None" = None

    @property
    def running(self) -> bool:
        return self.endtime is None

    def log(self, line: str) -> None:
        self.lines.append(line)

    def _common(self) -> dict[str, object]:
        return {
            "upid": self.upid,
            "node": self.node,
            "pid": self.pid,
            "pstart": self.pstart,
            "starttime": self.starttime,
            "type": self.type,
            "id": self.id,
        }

    def _owner(self) -> dict[str, object]:
        user, _, token = self.user.partition("!")
        return {"user": user, "tokenid": token} if token else {"user": user}

    def status(self) -> Json:
        """Return the body of …/tasks/UPID/status."""
        state: dict[str, object] = {"status": "running" if self.running else "stopped"}
        if not self.running:
            state["exitstatus"] = self.exitstatus
        return self._common() | self._owner() | state

    def entry(self) -> Json:
        """Return its line in a list of tasks."""
        if self.running:
            return self._common() | {"user": self.user, "status": "RUNNING", "saved": "0"}
        ended = {"endtime": self.endtime, "status": self.exitstatus}
        return self._common() | self._owner() | ended

    def cluster_entry(self) -> Json:
        """Return its line in /cluster/tasks, where a running one has no status."""
        entry = dict(self._common()) | {"user": self.user, "saved": "1"}
        if not self.running:
            entry |= self._owner() | {"endtime": self.endtime, "status": self.exitstatus}
        return entry


class Tasks:
    """All workers the cluster ever started, newest last."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._pid = _FIRST_PID
        self.faults: list[TaskFault] = []

    def start(self, node: str, kind: str, ident: str, user: str, worker: Worker) -> str:
        """Start a worker on a node and return its UPID."""
        self._pid += 1
        now, ticks = int(time.time()), int(time.monotonic() * 100)
        upid = f"UPID:{node}:{self._pid:08X}:{ticks:08X}:{now:08X}:{kind}:{ident}:{user}:"
        task = Task(upid, node, self._pid, ticks, now, kind, ident, user)
        self._tasks[upid] = task
        fault = next((f for f in self.faults if f.strikes(kind)), None)
        work = _run(worker, task) if fault is None else _run_ill(worker, task, fault)
        task.handle = asyncio.create_task(work, name=upid)
        task.handle.add_done_callback(lambda done: _finish(task, done))
        return upid

    def find(self, node: str, upid: str) -> Task:
        """Return a task of this node.

        Raises:
            ApiError: 400, it is no UPID, or this node has no such task.
        """
        match = _UPID.fullmatch(upid)
        if not match:
            raise invalid(upid="unable to parse worker upid")
        task = self._tasks.get(upid)
        if task is None or match["node"] != node:
            raise invalid(upid="no such task")
        return task

    def newest(self) -> list[Task]:
        return list(reversed(self._tasks.values()))

    async def close(self) -> None:
        """Stop all that still run, and wait for them."""
        handles = [t.handle for t in self._tasks.values() if t.handle and not t.handle.done()]
        for handle in handles:
            handle.cancel()
        await asyncio.gather(*handles, return_exceptions=True)


async def _run(worker: Worker, task: Task) -> None:
    await worker(task)


async def _run_ill(worker: Worker, task: Task, fault: TaskFault) -> None:
    await asyncio.sleep(fault.hangs)
    if fault.exitstatus and not fault.warns:
        raise ApiError(fault.exitstatus)
    await worker(task)
    task.exitstatus = fault.exitstatus


def _finish(task: Task, done: "asyncio.Task[None]") -> None:
    task.endtime = int(time.time())
    error = None if done.cancelled() else done.exception()
    if done.cancelled():
        task.exitstatus = task.interrupted
    elif error is None:
        task.exitstatus = task.exitstatus or "OK"
    else:
        task.exitstatus = _text(error)
        if not isinstance(error, ApiError | MachineError):
            log.error("task %s of the lab's endpoint broke", task.upid, exc_info=error)
    task.log("TASK OK" if task.exitstatus == "OK" else f"TASK ERROR: {task.exitstatus}")


def _text(error: BaseException) -> str:
    if isinstance(error, ApiError) and error.errors:
        details = "; ".join(f"{name}: {text.strip()}" for name, text in error.errors.items())
        return f"{error.text} {details}"
    return " ".join(str(error).split("\n")).strip() or type(error).__name__
