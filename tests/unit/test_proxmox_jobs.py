"""Tasks: success is the exit status, a lock is waited for, and few requests do for many tasks."""

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from stackyard.proxmox import jobs
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ProxmoxError, TaskError

UPID = "UPID:node02:00000FA2:000AEFEF:6B0401D6:{kind}:9002:root@pam!stackyard:"


class Tasks:
    """Answers like a Proxmox whose tasks take a while and end with an exit status."""

    def __init__(self, seconds: float = 0.0, *ends: str) -> None:
        self.seconds = seconds
        self.ends = list(ends)
        self.paths: list[str] = []
        self.begun: dict[str, float] = {}
        self.told: list[str] = []
        self.tell = self.told.append

    def begin(self, kind: str = "qmclone", number: int = 0) -> Callable[[], str]:
        def call() -> str:
            self.begun[str(number)] = time.monotonic()
            return UPID.format(kind=kind) + str(number)

        return call

    def stop(self) -> None:
        """Nothing: each look is answered at once."""

    def get(self, path: str) -> dict[str, Any]:
        self.paths.append(path)
        number = path.removesuffix("/status").rpartition("%3A")[2]
        if time.monotonic() - self.begun[number] < self.seconds:
            return {"status": "running"}
        return {"status": "stopped", "exitstatus": self.ends.pop(0) if self.ends else "OK"}


def jobs_of(tasks: Tasks) -> jobs.Jobs:
    return jobs.Jobs(cast("Client", tasks), clones_at_once=2)


def test_a_task_is_asked_for_on_its_own_node_with_its_name_quoted() -> None:
    tasks = Tasks()
    jobs_of(tasks).run("clone", tasks.begin())
    (path,) = tasks.paths
    assert path.startswith("/nodes/node02/tasks/UPID%3Anode02%3A00000FA2%3A")
    assert path.endswith("%3Aqmclone%3A9002%3Aroot%40pam%21stackyard%3A0/status")


def test_warnings_are_a_success() -> None:
    tasks = Tasks(0, "WARNINGS: 2")
    jobs_of(tasks).run("clone", tasks.begin())


def test_any_other_end_is_the_error() -> None:
    tasks = Tasks(0, "shrinking disks is not supported")
    with pytest.raises(TaskError, match=r"resize of x failed: shrinking disks is not supported"):
        jobs_of(tasks).run("resize of x", tasks.begin())


def test_a_call_that_was_synchronous_has_no_task() -> None:
    tasks = Tasks()
    jobs_of(tasks).run("resize", lambda: None)
    assert tasks.paths == []


def test_a_locked_vm_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOCK_PAUSE_SECONDS", 0.01)
    tasks = Tasks(0, "VM is locked (backup)", "VM is locked (backup)", "OK")
    jobs_of(tasks).run("start", tasks.begin())
    assert len(tasks.paths) == 3


def test_alike_tasks_need_about_one_look_each() -> None:
    tasks = Tasks(0.5)
    running = jobs_of(tasks)
    threads = [
        threading.Thread(target=running.run, args=("clone", tasks.begin(number=number)))
        for number in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tasks.paths) <= 20


def test_the_usual_time_is_narrowed_down_and_every_task_is_looked_at_then() -> None:
    tasks, found = Tasks(1.0), []
    running = jobs_of(tasks)

    def one_after_the_other(thread: int) -> None:
        for number in range(3):
            key = thread * 10 + number
            running.run("start", tasks.begin("qmstart", key))
            found.append((number, time.monotonic() - tasks.begun[str(key)]))

    threads = [threading.Thread(target=one_after_the_other, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    late = {n: max(s - tasks.seconds for m, s in found if m == n) for n in range(3)}
    assert late[0] < 0.7, found
    assert late[2] < 0.25, found
    assert len(tasks.paths) <= 12 + 6


def test_a_task_that_fails_at_once_teaches_nothing() -> None:
    tasks = Tasks(0, "no", "OK")
    running = jobs_of(tasks)
    with pytest.raises(TaskError):
        running.run("clone", tasks.begin())
    tasks.seconds = 0.7
    running.run("clone", tasks.begin(number=1))
    assert len(tasks.paths) == 2


def test_stopping_ends_every_wait() -> None:
    tasks = Tasks(60)
    running = jobs_of(tasks)
    threading.Timer(0.1, running.stop).start()
    began = time.monotonic()
    with pytest.raises(ProxmoxError, match="stopped before its end"):
        running.run("clone", tasks.begin())
    assert time.monotonic() - began < 5
