"""Waiting for hosts, all at once, each with growing pauses until one common deadline."""

import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool

from stackyard.run.errors import NotYetError, ReadyError
from stackyard.run.target import Readiness, Target

DEADLINE_SECONDS = 300.0
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.3, 5.0, 1.5
_AT_ONCE = 16
_LOOK_SECONDS = 0.5  # Python runs no handler of a signal that comes just before its thread sleeps

Look = Callable[[Target, Callable[[str], None]], None]
NotYet = Callable[[Target, str], None]


def wait_ready(
    targets: Sequence[Target],
    probe: Look,
    timeout: float = DEADLINE_SECONDS,
    tell: Callable[[Readiness], None] = lambda _result: None,
    not_yet: NotYet = lambda _target, _answer: None,
) -> tuple[Readiness, ...]:
    """Wait until every host is ready, or will not be, or `timeout` seconds are over.

    `probe` returns for a ready host, and raises NotYetError or ReadyError for another; see `Probe`.
    `tell` is called for each host when its waiting ends, `not_yet` for each answer before that, and
    never both at once. One host never keeps another's result.
    """
    if not targets:
        return ()
    began, stop, lock = time.monotonic(), threading.Event(), threading.Lock()

    def look(target: Target, note: Callable[[str], None]) -> None:
        try:
            probe(target, note)
        except NotYetError as error:
            with lock:
                not_yet(target, str(error))
            raise

    def wait(target: Target) -> Readiness:
        result = _wait_for(target, look, began, began + timeout, stop)
        with lock:
            if not stop.is_set():
                tell(result)
        return result

    # Its threads are joined by nobody: whoever leaves, leaves a host that is silent at once.
    with ThreadPool(min(len(targets), _AT_ONCE)) as pool:
        try:
            waiting = pool.map_async(wait, targets, chunksize=1)
            while not waiting.ready():
                waiting.wait(_LOOK_SECONDS)
            return tuple(waiting.get())
        except BaseException:
            stop.set()
            raise


def _wait_for(
    target: Target, probe: Look, began: float, deadline: float, stop: threading.Event
) -> Readiness:
    pause = _FIRST_PAUSE
    notes: dict[str, None] = {}

    def end(reason: str = "") -> Readiness:
        seconds = time.monotonic() - began
        return Readiness(target, not reason, reason, tuple(notes), seconds)

    while True:
        try:
            probe(target, lambda text: notes.update({text: None}))
        except ReadyError as error:
            return end(str(error))
        except NotYetError as error:
            reason = str(error)
        else:
            return end()
        left = deadline - time.monotonic()
        if left <= 0 or stop.wait(min(pause, left)):
            return end(f"not ready after {time.monotonic() - began:.0f} s; {reason}")
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
