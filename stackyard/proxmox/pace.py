"""When to look at a task again, so that few requests find its end soon.

Tasks of one type take alike long. One thread at a time looks closely and narrows down how long that
is, between the longest time after which one still ran and the shortest after which one had ended;
all others first look when the usual time is over.
"""

import math
import threading
import time
from collections.abc import Callable

FIRST_POLL_SECONDS = 0.1
LONGEST_POLL_SECONDS = 1.0  # while a task is young
LATE_SHARE, LATEST_SECONDS = 0.1, 15.0  # then so much of its age, at most
FOLLOWER_POLL_SECONDS = 3.0  # of those who wait for what the first one finds
GROWTH = 0.6  # of the time that a task has taken so far: the pause until the next look
CLOSE_SECONDS, CLOSE_SHARE = 0.3, 0.2  # to know it closer than that is not worth a request
FOLLOWER_GROWTH = 0.1
DRIFT = 1.1  # of the usual time: what takes longer is an exception


class Pace:
    """How long tasks of one type take; one for all threads of a run."""

    def __init__(self, expected: float) -> None:
        self._expected = expected  # seconds, while nothing is known
        self._running = 0.0  # the longest time after which one was seen to run
        self._usual = math.inf  # the time after which they have ended
        self._changed = threading.Condition()
        self._is_led = False

    def begin(self) -> bool:
        """Tell whether the caller is the one to look closely, until it gives that up."""
        with self._changed:
            leads = not self._is_led and not self._is_known_closely()
            self._is_led = self._is_led or leads
            return leads

    def give_up(self) -> None:
        """Leave the close look to the next one."""
        with self._changed:
            self._is_led = False

    def wake(self) -> None:
        """Let all who wait ask whether they still have to."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, begun: float, looked: float, leads: bool, is_over: Callable[[], bool]) -> None:
        """Return when the next look is due, or nobody is to look any more.

        The task began at `begun` of the monotonic clock; the last look was `looked` s after that.
        """
        due = self._leaders_look if leads else self._followers_look
        with self._changed:
            while not is_over() and (left := begun + due(looked) - time.monotonic()) > 0:
                self._changed.wait(left)

    def saw(self, elapsed: float, before: float, has_ended: bool) -> None:
        """Note what a look after some seconds found; the look before it was after `before`."""
        with self._changed:
            if not has_ended:
                if elapsed < self._usual:
                    self._running = max(self._running, elapsed)
            elif elapsed < self._usual or (self._usual <= before and elapsed < self._usual * DRIFT):
                self._usual = elapsed
                self._running = min(self._running, elapsed)
                self._changed.notify_all()

    def _is_known_closely(self) -> bool:
        if self._usual == math.inf:
            return False
        return self._usual - self._running <= max(CLOSE_SECONDS, CLOSE_SHARE * self._usual)

    def _leaders_look(self, looked: float) -> float:
        """Return after how many seconds the close look follows the one after `looked`."""
        if self._usual == math.inf:
            return _later(looked, GROWTH) if looked else self._expected
        if looked >= self._usual:
            return _later(looked, GROWTH)
        if self._is_known_closely():
            return self._usual
        return (max(self._running, looked) + self._usual) / 2

    def _followers_look(self, looked: float) -> float:
        if self._usual == math.inf:
            return looked + FOLLOWER_POLL_SECONDS
        return _later(looked, FOLLOWER_GROWTH) if looked >= self._usual else self._usual


def _later(looked: float, share: float) -> float:
    longest = min(max(LONGEST_POLL_SECONDS, looked * LATE_SHARE), LATEST_SECONDS)
    return looked + min(max(FIRST_POLL_SECONDS, looked * share), longest)
