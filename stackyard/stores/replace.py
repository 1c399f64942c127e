"""Replacing a file whole: locked against other writers, and old or new whenever we are killed."""

import errno
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".new"
MADE = "[a-z0-9_]{8}"  # what mkstemp puts between


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file's folder, which is made where it is missing.

    The folder itself is locked, so that no lock file is left beside the document.

    Raises:
        OSError: the folder cannot be made or opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file by a new one with this content; its folder must be `locked`.

    Raises:
        OSError: it could not be written, or is a device, a pipe or a folder; it is as it was.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file")
    _sweep(path)
    # mkstemp makes the file 0600 from the start.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=SUFFIX)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            _keep_owner(path, file.fileno())
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _settle(path.parent)


def _keep_owner(path: Path, handle: int) -> None:
    """Leave a file to whom it belongs, also where root replaces it."""
    if os.geteuid() == 0 and path.exists():
        found = path.stat()
        os.fchown(handle, found.st_uid, found.st_gid)


def kept_mode(path: Path) -> int:
    """Return the mode of a file that all may read; 0644 where there is none yet.

    Raises:
        OSError: its folder may not be read.
    """
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644


def _sweep(path: Path) -> None:
    """Remove what a writer left that was killed; nobody else writes while we hold the lock."""
    ours = re.compile(re.escape(_prefix(path)) + MADE + re.escape(SUFFIX))
    for left in path.parent.iterdir():
        if ours.fullmatch(left.name) and left.is_file():
            left.unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    """Make the new name survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _prefix(path: Path) -> str:
    return f".{path.name}."
