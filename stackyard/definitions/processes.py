"""One piece of work in several processes, each of which does a part of its items.

Not a pool: a child that is forked has the items already, sends what it made of them once and ends
by itself, also where this process was killed meanwhile.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MOST_PROCESSES = 4  # to take what they send is the work of this one alone
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_parts(
    work: Callable[[Sequence[Item]], Made], items: Sequence[Item], least: int
) -> list[Made]:
    """Return what `work` makes of each part of the items, in their order.

    There is a part for each processor that this process may use, but none of fewer than `least`
    items. What a process does not deliver is made here, so what `work` raises is raised here.
    """
    if len(items) < 2 * least:
        return [work(items)]
    size = -(-len(items) // min(_processors(), len(items) // least))
    first, *others = [items[at : at + size] for at in range(0, len(items), size)]
    with ExitStack() as stack:
        answers = [stack.enter_context(_child(work, part)) for part in others]
        made = [work(first)]
        for answer, part in zip(answers, others, strict=True):
            try:
                made.append(answer.recv())
            except (EOFError, OSError):  # nothing came, or not all of it
                made.append(work(part))
        return made


def _processors() -> int:
    """Return how many to use: one where nothing forks, or where a child must have no children."""
    from multiprocessing import current_process

    if not hasattr(os, "sched_getaffinity") or current_process().daemon:
        return 1
    return min(MOST_PROCESSES, len(os.sched_getaffinity(0)))


@contextmanager
def _child(work: Callable[[Any], Any], part: Any) -> Iterator["Connection[Any, Any]"]:
    """Begin the work on one part; what comes out is where the result is received."""
    from multiprocessing import get_context

    context = get_context("fork")
    receiving, sending = ends = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(work, part, *ends), daemon=True)
    with receiving:
        try:
            # They wait until the child has none of our ways to take them.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
            try:
                with sending, suppress(OSError):  # no process to be had: nothing will come
                    process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)  # raises what waited
            yield receiving
        finally:
            if process.pid:
                process.kill()
                process.join()


def _send(
    work: Callable[[Any], Any],
    part: Any,
    receiving: "Connection[Any, Any]",
    sending: "Connection[Any, Any]",
) -> None:
    receiving.close()  # open here, it would be waited for if nobody else is left
    for number in STOPPING:
        if callable(signal.getsignal(number)):  # what is ignored (nohup) stays ignored
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    with suppress(Exception):  # who asked does it again, and tells what is wrong
        sending.send(work(part))
