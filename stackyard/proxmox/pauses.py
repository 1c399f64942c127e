"""Pauses between two looks at what takes its time."""

import time
from collections.abc import Callable, Iterator

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 3.0  # of what Proxmox does beside its tasks


def growing(first: float, longest: float) -> Iterator[float]:
    """Yield seconds without end: each half as long again as the one before, up to the longest."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 1.5, longest)


def comes_true(is_so: Callable[[], bool], patience: float, pause: Callable[[float], None]) -> bool:
    """Look until it is so, for `patience` seconds at most; tell whether it came to that."""
    deadline = time.monotonic() + patience
    for seconds in growing(FIRST_SECONDS, LONGEST_SECONDS):
        if is_so():
            return True
        if time.monotonic() > deadline:
            break
        pause(seconds)
    return False
