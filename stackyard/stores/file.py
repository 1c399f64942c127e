"""A document in a plain file: private, locked while it is replaced, and replaced whole."""

import fcntl
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stackyard.stores.protocol import Conflict, StoreError, Versioned

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class FileStore:
    """A file of mode 0600."""

    path: Path

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def read(self) -> Versioned:
        """Return the file's text; its version is a digest of it."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Versioned(None, ABSENT)
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{self.path} cannot be read: {_reason(error)}") from None
        return Versioned(text, hashlib.sha256(text.encode()).hexdigest())

    def write(self, document: str, version: str) -> None:
        """Replace the file, if its digest is still the version."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with lock.open("a") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                if self.read().version != version:
                    raise Conflict
                self._replace(document)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {_reason(error)}") from None

    def _replace(self, document: str) -> None:
        # mkstemp makes the file 0600 from the start.
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(document)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is not UTF-8 text"
