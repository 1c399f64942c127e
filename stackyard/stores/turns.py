"""Writers on one machine take turns, so that they do not make each other's work void.

This is for speed alone: what keeps documents whole is the version that each write compares with.
Who gets no turn in time therefore writes without one.
"""

import fcntl
import hashlib
import os
import random
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_jitter = random.SystemRandom()
POLL_SECONDS = 0.02
WAIT_SECONDS = 10.0


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Hold the turn of all that this user's processes do to a store of this name."""
    lock = _open(name, os.environ)
    if lock is None:
        yield
        return
    try:
        _wait(lock)
        yield
    finally:
        os.close(lock)


def _open(name: str, environ: Mapping[str, str]) -> int | None:
    """Open the lock of a name; None where this user has no folder for it."""
    folder = _folder(environ)
    if folder is None:
        return None
    lock = folder / hashlib.sha256(name.encode()).hexdigest()[:32]
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None


def _wait(handle: int) -> None:
    """Wait for the lock, but for no holder that was stopped or waits for a server itself."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_jitter.uniform(0, POLL_SECONDS))
        else:
            return


def _folder(environ: Mapping[str, str]) -> Path | None:
    """Return a folder that is this user's alone; None where there can be none."""
    above = environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(above) / f"stackyard-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return folder if own and not found.st_mode & 0o077 else None
