"""A document in a plain file: private, locked while it is replaced, and replaced whole."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from stackyard.stores.protocol import Conflict, StoreError, Versioned
from stackyard.stores.replace import locked, replace

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class FileStore:
    """A file of mode 0600; a link stays one, and what it leads to is replaced."""

    path: Path

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def read(self) -> Versioned:
        """Return the file's text; its version is a digest of it."""
        content = read_bytes(self.path)
        if content is None:
            return Versioned(None, ABSENT)
        return Versioned(decoded(self.name, content), digest(content))

    def write(self, document: str, version: str) -> None:
        """Replace the file, if its digest is still the version."""
        try:
            path = self.path.resolve()
            with locked(path):
                if self.read().version != version:
                    raise Conflict
                replace(path, document.encode())
        except (OSError, RuntimeError) as error:
            raise StoreError(f"{self.path} cannot be written: {reason(error)}") from None


def read_bytes(path: Path) -> bytes | None:
    """Return a file's content, None where there is no such file.

    Raises:
        StoreError: it is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}") from None


def files_below(folder: Path, through_links: bool = False) -> list[Path]:
    """Return every file below a folder in order, also links that lead nowhere.

    Folders that are links are left out, unless asked for; each folder is looked into once.

    Raises:
        StoreError: a folder there cannot be read: what is in it would count as absent.
    """
    seen: set[Path] = set()
    found: list[Path] = []

    def refuse(error: OSError) -> NoReturn:
        raise StoreError(f"{error.filename} cannot be read: {reason(error)}") from None

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=through_links):
        real = Path(place).resolve()
        if real in seen:  # links may lead round in circles
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        found += [Path(place, name) for name in names]
    return sorted(found)


def decoded(name: str, content: bytes) -> str:
    """Return a file's content as text.

    Raises:
        StoreError: it is none.
    """
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise StoreError(f"{name} cannot be read: it is not UTF-8 text") from None


def digest(content: bytes | None) -> str:
    """Return what a file's next write must compare with."""
    return ABSENT if content is None else hashlib.sha256(content).hexdigest()


def reason(error: Exception) -> str:
    """Say why a file could not be used, in the system's words."""
    return getattr(error, "strerror", None) or "its path is a loop of links"
