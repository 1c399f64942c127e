"""What every store can do: read a document with its version, write it if that still holds."""

from dataclasses import dataclass, field
from typing import Protocol

from stackyard.errors import StackyardError


class StoreError(StackyardError):
    """A store that cannot be read or written; the sentence names the store and never a secret."""


class UnavailableError(StoreError):
    """A store that does not answer now; the same may work later."""

    exit_code = 4


class Conflict(Exception):  # noqa: N818 - it is no error: the loop reads again
    """Somebody else has written since the version that was read."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """A document, None where there is none yet, and what its next write must compare with."""

    document: str | None = field(repr=False)
    version: str


class Store(Protocol):
    """A place for one document."""

    @property
    def name(self) -> str:
        """The place, as a sentence names it."""
        ...

    def read(self) -> Versioned:
        """Return the document.

        Raises:
            StoreError: it could not be read, which is never the same as being absent.
        """
        ...

    def write(self, document: str, version: str) -> None:
        """Write the document if the version still holds.

        Raises:
            Conflict: it does not.
            StoreError: it could not be written.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """A store as `--check` sees it: what is written goes nowhere."""

    store: Store

    @property
    def name(self) -> str:
        """The store's place."""
        return self.store.name

    def read(self) -> Versioned:
        """Return the store's document."""
        return self.store.read()

    def write(self, document: str, version: str) -> None:
        """Write nothing."""
