"""Proxmox's tasks: start one, wait for it on its own node, and know whether it succeeded.

An answer of 200 with a UPID is a beginning: starts, resizes and clones fail in their tasks.
"""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from stackyard.proxmox.client import LOCK_DEADLINE_SECONDS, Client
from stackyard.proxmox.errors import ProxmoxError, TaskError, TaskTimeoutError
from stackyard.proxmox.pauses import growing

FIRST_POLL_SECONDS = 0.1
# Of tasks that are never done sooner, on a real cluster; each is a request a VM saved.
EXPECTED_SECONDS = {"qmclone": 0.4, "qmstart": 0.3, "resize": 0.25}
LONGEST_POLL_SECONDS = 1.0
FOLLOWER_POLL_SECONDS = 3.0  # of those who wait for what the first one finds
TASK_DEADLINE_SECONDS = 1800.0
LOCK_PAUSE_SECONDS, LONGEST_LOCK_PAUSE_SECONDS = 2.0, 8.0


class _Pace:
    """How long tasks of one type take: the quickest one of this run, once one has ended."""

    def __init__(self, expected: float) -> None:
        self.expected = expected
        self._guard = threading.Lock()
        self._is_led = False
        self._known = threading.Event()
        self._quickest = math.inf

    def begin(self) -> bool:
        """Tell whether the caller is the one to look closely; the others wait for what it finds."""
        with self._guard:
            leads = not self._is_led and not self._known.is_set()
            self._is_led = self._is_led or leads
            return leads

    def until_known(self, seconds: float) -> float:
        """Wait for the first task of the type to end; return the quickest time, or infinity."""
        self._known.wait(seconds)
        return self._quickest

    def learn(self, seconds: float) -> None:
        """Note that a task was seen to have ended well."""
        with self._guard:
            self._quickest = min(seconds, self._quickest)
            self._known.set()

    def give_up(self) -> None:
        """Leave the close look to the next one."""
        with self._guard:
            self._is_led = False


class Jobs:
    """Runs tasks for many threads at once; `stop` makes all of them give up waiting.

    Tasks of one type take alike long. So one thread looks at its task often, and all others first
    look when the quickest of the type so far was over: fewer requests than any fixed interval.
    """

    def __init__(self, client: Client, clones_at_once: int) -> None:
        self._client = client
        self._clones: defaultdict[tuple[str, str | None], threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(clones_at_once)
        )
        self._guard = threading.Lock()
        self._paces: dict[str, _Pace] = {}
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Make every thread that waits raise; the tasks themselves go on."""
        self._stopped.set()

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
            TaskTimeoutError: it did not end in `TASK_DEADLINE_SECONDS`.
        """
        deadline = time.monotonic() + LOCK_DEADLINE_SECONDS
        pauses = growing(LOCK_PAUSE_SECONDS, LONGEST_LOCK_PAUSE_SECONDS)
        while True:
            try:
                return self._wait(what, begin())
            except TaskError as error:
                if not error.is_locked or time.monotonic() > deadline:
                    raise
            self.pause(next(pauses))

    def pause(self, seconds: float) -> None:
        """Wait a while.

        Raises:
            ProxmoxError: the run was stopped meanwhile.
        """
        if self._stopped.wait(seconds):
            raise ProxmoxError("stopped before its end; apply again to finish")

    def _wait(self, what: str, upid: object) -> str:
        if not isinstance(upid, str) or not upid.startswith("UPID:"):
            return "OK"  # calls that are synchronous in some versions answer null
        _, node, _, _, _, kind, *_ = upid.split(":")
        path = f"/nodes/{node}/tasks/{quote(upid, safe='')}/status"
        with self._guard:
            expected = EXPECTED_SECONDS.get(kind, FIRST_POLL_SECONDS)
            pace = self._paces.setdefault(kind, _Pace(expected))
        status = self._watch(what, path, pace)
        text = str(status.get("exitstatus", ""))
        if not _succeeded(status):
            raise TaskError(what, text)
        return text

    def _watch(self, what: str, path: str, pace: _Pace) -> dict[str, Any]:
        begun = time.monotonic()
        leads, elapsed = pace.begin(), 0.0
        try:
            while elapsed < TASK_DEADLINE_SECONDS:
                self.pause(_until_next_look(pace, leads, begun, elapsed))
                status: dict[str, Any] = self._client.get(path)
                elapsed = time.monotonic() - begun
                if status["status"] == "stopped":
                    if _succeeded(status):  # what fails, fails early and teaches nothing
                        pace.learn(elapsed)
                    return status
        finally:
            if leads:
                pace.give_up()
        raise TaskTimeoutError(
            f"the Proxmox task {what} still runs after {elapsed / 60:.0f} minutes: "
            "look at it on its node, then apply again"
        )


def _succeeded(status: dict[str, Any]) -> bool:
    text = str(status.get("exitstatus", ""))
    return text == "OK" or text.startswith("WARNINGS")


def _until_next_look(pace: _Pace, leads: bool, begun: float, looked: float) -> float:
    """Return the seconds to pause; `looked` is when, after `begun`, the last look was."""
    share = looked * (0.4 if leads else 0.1)
    soon = min(max(FIRST_POLL_SECONDS, share), LONGEST_POLL_SECONDS)
    if leads:
        return soon if looked else pace.expected
    quickest = pace.until_known(FOLLOWER_POLL_SECONDS)
    if quickest == math.inf:
        return 0.0  # a long pause has just been made
    return soon if looked >= quickest else max(begun + quickest - time.monotonic(), 0.0)
