"""Trying again with full jitter until a deadline: for rivals, and for servers that come back."""

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from stackyard.stores.protocol import UnavailableError

T = TypeVar("T")
BASE_SECONDS = 0.01
CAP_SECONDS = 1.0


def attempts(seconds: float) -> Iterator[int]:
    """Count attempts from 1, with a pause before each but the first, until the time is over.

    The pause is random between nothing and 10 ms, doubled with each attempt up to 1 s.
    """
    end = time.monotonic() + seconds
    attempt = 0
    while attempt == 0 or time.monotonic() <= end:
        attempt += 1
        yield attempt
        pause = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(attempt, 10))
        time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret


def answered(call: Callable[[], T], seconds: float) -> T:
    """Return what a call returns; call again while the store is unavailable.

    Raises:
        UnavailableError: it still was when the time was over.
    """
    last = None
    for _ in attempts(seconds):
        try:
            return call()
        except UnavailableError as error:
            last = error
    raise last or UnavailableError("nothing was tried")
