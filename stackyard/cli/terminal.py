"""Whether somebody sits before a terminal: to be asked, and to see what is overwritten there."""

import os
import sys


def can_ask() -> bool:
    """Tell whether standard input is a terminal; a process may also have been given none."""
    return sys.stdin is not None and sys.stdin.isatty()


def is_live() -> bool:
    """Tell whether stderr is a terminal that can move its cursor, and somebody sits before it.

    CI systems set CI, and some of them give their jobs a terminal; what was overwritten there
    fills their logs.
    """
    stream = sys.stderr
    if stream is None or not stream.isatty():
        return False
    return os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown") and not os.environ.get(
        "CI"
    )
