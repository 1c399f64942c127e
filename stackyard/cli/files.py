"""Files that commands write: whole or not at all."""

import os
import tempfile
from pathlib import Path

from stackyard.errors import StackyardError


class FileError(StackyardError):
    """A file could not be written."""


def write_atomically(path: Path, text: str) -> None:
    """Write a file for its owner alone (0600), in place of one that is there.

    Raises:
        FileError: its folder is missing or may not be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from error


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet.

    Raises:
        FileError: it is there, or its folder is missing or may not be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise FileError(f"{path} is there already: remove it, or name another --output") from None
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from error
