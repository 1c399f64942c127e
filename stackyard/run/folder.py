"""SITE/.stackyard: the logs and the journal of a site's folder.

Information alone: nothing of the product reads it, and losing it loses no work.
"""

import os
from pathlib import Path

from stackyard.stores.replace import locked, replace

NAME = ".stackyard"


def private_folder(site: Path, *parts: str) -> Path:
    """Return SITE/.stackyard or a folder in it, made for its owner alone and kept out of git.

    Raises:
        OSError: it cannot be made; its `filename` says what.
    """
    root = site / NAME
    root.mkdir(mode=0o700, exist_ok=True)
    ignore = root / ".gitignore"
    if not ignore.exists() or not ignore.stat().st_size:  # an empty one keeps nothing out
        _ignore_all(ignore)
    folder = root.joinpath(*parts)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _ignore_all(ignore: Path) -> None:
    try:
        with locked(ignore):
            replace(ignore, b"*\n")
    except OSError as error:  # a full disk names no file
        raise OSError(error.errno, error.strerror, str(ignore)) from error


def open_private(path: Path) -> int:
    """Open a file for appending, readable by its owner alone; return its descriptor."""
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
