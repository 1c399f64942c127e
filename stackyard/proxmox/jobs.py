"""Proxmox's tasks: start one, wait for it on its own node, and know whether it succeeded.

An answer of 200 with a UPID is a beginning: starts, resizes and clones fail in their tasks.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from stackyard.proxmox.client import LOCK_DEADLINE_SECONDS, Client
from stackyard.proxmox.errors import (
    ApiError,
    ConnectionFailedError,
    LostTaskError,
    ProxmoxError,
    TaskError,
    TaskTimeoutError,
)
from stackyard.proxmox.pace import Pace
from stackyard.proxmox.pauses import growing

# Of the first task of a type; each look that is too early is a request.
EXPECTED_SECONDS = {"qmclone": 0.8, "qmstart": 0.45, "resize": 0.25}
UNEXPECTED_SECONDS = 0.1
TASK_DEADLINE_SECONDS = 1800.0
COPY_DEADLINE_SECONDS = 4 * 3600.0  # a large disk on a slow storage, and three others beside it
# A configuration is a task only where it imports or deletes a disk.
_COPIES = frozenset({"qmclone", "qmmove", "qmigrate", "qmcreate", "qmconfig"})
LOCK_PAUSE_SECONDS, LONGEST_LOCK_PAUSE_SECONDS = 2.0, 8.0


class Jobs:
    """Runs tasks for many threads at once; `stop` makes all of them give up waiting.

    See `Pace` for when each looks at its task.
    """

    def __init__(self, client: Client, clones_at_once: int) -> None:
        self._client = client
        self._clones: defaultdict[tuple[str, str | None], threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(clones_at_once)
        )
        self._guard = threading.Lock()
        self._paces: dict[str, Pace] = {}
        self._checking = threading.Lock()
        self._checked: set[str] = set()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Make every thread that waits raise; the tasks themselves go on."""
        self._stopped.set()
        self._client.stop()
        for pace in tuple(self._paces.values()):
            pace.wake()

    def check_once(self, what: str, check: Callable[[], None]) -> None:
        """Check what many VMs need, and what was found good not again; a failure is each one's."""
        with self._checking:
            if what not in self._checked:
                check()
                self._checked.add(what)

    @contextmanager
    def cloning(self, node: str, storage: str | None) -> Iterator[None]:
        """Hold one of the few places for a copy to a storage of a node."""
        with self._guard:
            places = self._clones[node, storage]
        with places:
            yield

    def run(self, what: str, begin: Callable[[], Any]) -> str:
        """Begin a task and wait for its end, again while only a lock stands against it.

        Returns its exit status: OK, or how many warnings stand in its log ("WARNINGS: 1").

        Raises:
            TaskError: it ended with an error.
            TaskTimeoutError: it did not end in `TASK_DEADLINE_SECONDS`, or those of a copy.
            LostTaskError: nobody could be asked for its end.
        """
        deadline = time.monotonic() + LOCK_DEADLINE_SECONDS
        pauses, is_told = growing(LOCK_PAUSE_SECONDS, LONGEST_LOCK_PAUSE_SECONDS), False
        while True:
            try:
                return self._wait(what, begin())
            except TaskError as error:
                if not error.is_locked or time.monotonic() > deadline:
                    raise
                if not is_told:
                    self._client.tell(
                        f"{error}; tried again for up to {LOCK_DEADLINE_SECONDS:.0f} s"
                    )
                    is_told = True
            self.pause(next(pauses))

    def pause(self, seconds: float) -> None:
        """Wait a while.

        Raises:
            ProxmoxError: the run was stopped meanwhile.
        """
        if self._stopped.wait(seconds):
            raise ProxmoxError("stopped before its end; run it again to finish")

    def _wait(self, what: str, upid: object) -> str:
        if not isinstance(upid, str) or not upid.startswith("UPID:"):
            return "OK"  # calls that are synchronous in some versions answer null
        _, node, _, _, _, kind, *_ = upid.split(":")
        path = f"/nodes/{node}/tasks/{quote(upid, safe='')}/status"
        with self._guard:
            expected = EXPECTED_SECONDS.get(kind, UNEXPECTED_SECONDS)
            pace = self._paces.setdefault(kind, Pace(expected))
        patience = COPY_DEADLINE_SECONDS if kind in _COPIES else TASK_DEADLINE_SECONDS
        try:
            status = self._watch(what, path, pace, patience)
        except ConnectionFailedError as error:
            raise LostTaskError(upid, error) from error
        except ApiError as error:
            if error.is_refusal:
                raise
            raise LostTaskError(upid, error) from error
        text = str(status.get("exitstatus", ""))
        if not _succeeded(status):
            raise TaskError(what, text)
        return text

    def _watch(self, what: str, path: str, pace: Pace, patience: float) -> dict[str, Any]:
        begun = time.monotonic()
        leads, elapsed = pace.begin(), 0.0
        try:
            while elapsed < patience:
                pace.wait(begun, elapsed, leads, self._stopped.is_set)
                self.pause(0)
                status: dict[str, Any] = self._client.get(path)
                before, elapsed = elapsed, time.monotonic() - begun
                has_ended = status["status"] == "stopped"
                if not has_ended or _succeeded(status):  # what fails teaches nothing
                    pace.saw(elapsed, before, has_ended)
                if has_ended:
                    return status
        finally:
            if leads:
                pace.give_up()
        raise TaskTimeoutError(
            f"the Proxmox task {what} still runs after {elapsed / 60:.0f} minutes: "
            "look at it on its node, then run it again"
        )


def _succeeded(status: dict[str, Any]) -> bool:
    text = str(status.get("exitstatus", ""))
    return text == "OK" or text.startswith("WARNINGS")
