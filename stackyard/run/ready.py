"""Waiting for hosts, all at once, each with growing pauses until one common deadline."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.pool import ThreadPool

from stackyard.proxmox.pauses import growing
from stackyard.proxmox.reading import LOOK_SECONDS
from stackyard.run.errors import NotYetError, ReadyError
from stackyard.run.target import Readiness, Target

DEADLINE_SECONDS = 300.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.3, 5.0
_AT_ONCE = 16

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
    never both at once. One host never keeps another's result. Whoever is interrupted is told of the
    hosts that are left, too, for the notes on them.
    """
    if not targets:
        return ()
    began, stop, lock = time.monotonic(), threading.Event(), threading.Lock()
    notes: dict[Target, dict[str, None]] = {target: {} for target in targets}

    def look(target: Target) -> None:
        try:
            probe(target, lambda text: notes[target].update({text: None}))
        except NotYetError as error:
            with lock:
                if not stop.is_set():
                    not_yet(target, str(error))
            raise

    def end(target: Target, reason: str) -> Readiness:
        seconds = time.monotonic() - began
        return Readiness(target, not reason, reason, tuple(notes[target]), seconds)

    def wait(target: Target) -> Readiness:
        return end(target, _why_not(target, look, began, began + timeout, stop))

    left, results = list(targets), {}
    # Its threads are joined by nobody: whoever leaves, leaves a host that is silent at once.
    with ThreadPool(min(len(targets), _AT_ONCE)) as pool:
        ended = pool.imap_unordered(wait, targets)
        try:
            while left:
                with suppress(multiprocessing.TimeoutError):
                    result = ended.next(LOOK_SECONDS)
                    left.remove(result.target)
                    results[result.target] = result
                    with lock:
                        tell(result)
        except BaseException:
            stop.set()
            with lock, suppress(OSError):  # the terminal may be what has gone
                for target in left:  # a key that was trusted meanwhile is told of now, or never
                    tell(end(target, "no longer waited for"))
            raise
    return tuple(results[target] for target in targets)


def _why_not(
    target: Target,
    look: Callable[[Target], None],
    began: float,
    deadline: float,
    stop: threading.Event,
) -> str:
    """Return why a host is not ready in the end; nothing of one that is."""
    pauses = growing(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    while True:
        try:
            look(target)
        except ReadyError as error:
            return str(error)
        except NotYetError as error:
            reason = str(error)
        else:
            return ""
        left = deadline - time.monotonic()
        if left <= 0 or stop.wait(min(next(pauses), left)):
            return f"not ready after {time.monotonic() - began:.0f} s; {reason}"
