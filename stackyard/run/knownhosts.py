"""The pinned host keys: an OpenSSH known_hosts file that this room and ssh itself read alike.

The file may be edited by people: lines this room does not understand stay as they are. A change is
made under a lock and by replacing the whole file, so that a reader never sees half of it. The lock
is on the folder: a lock file beside inventory/known_hosts would be taken for an inventory.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stackyard.run.errors import ReadyError
from stackyard.run.hostkey import HostKey
from stackyard.stores.replace import kept_mode, locked
from stackyard.stores.replace import replace as replace_file

_REVOKED = "@revoked"


@dataclass(frozen=True, slots=True)
class Pin:
    """One key of a host, and the line of the file that says so."""

    key: HostKey
    line: int


class KnownHosts:
    """A known_hosts file; made with its first pin."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pins(self, name: str) -> tuple[Pin, ...]:
        """Return the keys pinned for a host, an address or `[address]:port`.

        Raises:
            ReadyError: the file cannot be read.
        """
        entries = enumerate(map(_Entry.parse, self._lines()), start=1)
        return tuple(
            Pin(entry.key, number)
            for number, entry in entries
            if entry.key and not entry.marker and entry.covers(name)
        )

    def revokes(self, key: HostKey) -> int | None:
        """Return the line that revokes a key, for whatever hosts; None where there is none.

        Raises:
            ReadyError: the file cannot be read.
        """
        for number, line in enumerate(self._lines(), start=1):
            if _REVOKED in line:  # few are, and to take all apart takes long
                entry = _Entry.parse(line)
                if entry.marker == _REVOKED and entry.key == key:
                    return number
        return None

    def pin(self, names: Iterable[str], key: HostKey, *, replace: bool = False) -> None:
        """Pin a key for names that have none yet; with `replace`, in place of what they have.

        Raises:
            ReadyError: the file cannot be read or written.
        """
        wanted = tuple(names)
        try:
            target = self.path.resolve()  # a link stays a link
            with locked(target):
                before = self._lines()
                lines = list(before)
                if replace:
                    lines = [kept for line in lines if (kept := _without(line, wanted)) is not None]
                new = [name for name in wanted if not _has(lines, name, key)]
                if new:
                    lines.append(f"{','.join(new)} {key}")
                if lines != before:
                    text = "".join(f"{line}\n" for line in lines)
                    written = text.encode(errors="surrogateescape")
                    replace_file(target, written, kept_mode(target))
        except OSError as error:
            raise ReadyError(
                f"the host key cannot be pinned in {self.path}: {error.strerror}"
            ) from error

    def _lines(self) -> list[str]:
        try:
            text = self.path.read_bytes().decode(errors="surrogateescape")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ReadyError(f"{self.path} cannot be read: {error.strerror}") from error
        return text.removesuffix("\n").split("\n") if text else []


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line; `key` is None for comments and whatever else is no entry."""

    marker: str = ""
    names: tuple[str, ...] = ()
    key: HostKey | None = None
    rest: str = ""

    @classmethod
    def parse(cls, line: str) -> "_Entry":
        marker, (names, rest) = "", _first_word(line)
        if names.startswith("@"):
            marker, (names, rest) = names, _first_word(rest)
        if not names or names.startswith("#"):
            return cls()
        try:
            key = HostKey.parse(rest)
        except ValueError:
            return cls()
        return cls(marker, tuple(names.split(",")), key, rest)

    def covers(self, name: str) -> bool:
        return any(_is(pattern, name) for pattern in self.names)


def _first_word(text: str) -> tuple[str, str]:
    """Return a line's first word and its rest; tabs part words as well as blanks do."""
    word, *rest = text.split(maxsplit=1) or [""]
    return word, "".join(rest).strip()


def _is(written: str, name: str) -> bool:
    """Compare a name as written, hashed ones too (`|1|salt|hash`, HMAC-SHA1 of the name)."""
    if not written.startswith("|1|"):
        return written == name
    try:
        salt, digest = (base64.b64decode(part) for part in written[3:].split("|"))
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), hashlib.sha1), digest)


def _has(lines: Iterable[str], name: str, key: HostKey) -> bool:
    entries = map(_Entry.parse, lines)
    return any(e.key == key and not e.marker and e.covers(name) for e in entries)


def _without(line: str, names: tuple[str, ...]) -> str | None:
    """Return a line without these names; None where no name is left."""
    entry = _Entry.parse(line)
    if entry.key is None or entry.marker:
        return line
    kept = [written for written in entry.names if not any(_is(written, name) for name in names)]
    if len(kept) == len(entry.names):
        return line
    return f"{','.join(kept)} {entry.rest}" if kept else None
