"""A secret file's document, encrypted or not, as the secrets that Vault is to have.

`vault: {MOUNT: {FOLDER: {…: {NAME: {KEY: value}}}}}`: the first level is a mount of KV v2, a
mapping of values is a secret, and the mappings above it are its path.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from stackyard.definitions.document import DocumentError, Mapping, Problem, read_document
from stackyard.secrets.errors import SecretFilesError

ROOT = "vault"
# What can stand between two slashes of a path; `.` and `..` would lead elsewhere.
NAME = re.compile(r"[^/\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A secret's place in Vault."""

    mount: str
    path: str

    def __str__(self) -> str:
        """Return mount and path as the `vault` command takes them."""
        return f"{self.mount}/{self.path}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of one secret, and where it is written."""

    place: Place
    key: str
    value: str = field(repr=False)
    file: str
    line: int


def read_entries(text: str, file: str) -> tuple[Entry, ...]:
    """Return what a file defines; nothing where it has no `vault`.

    Raises:
        SecretFilesError: it is not YAML, or not of this shape.
    """
    try:
        document = read_document(text)
    except DocumentError as error:
        # A YAML parser's words can quote the text, which may be decrypted.
        raise SecretFilesError([Problem(file, error.line, "is not valid YAML")]) from None
    if not isinstance(document, Mapping):
        raise SecretFilesError([Problem(file, 1, "is not a mapping")])
    mounts = document.get(ROOT)
    if mounts is None:
        return ()
    problems: list[Problem] = []
    reader = _Reader(file, problems)
    found = tuple(reader.mounts(mounts, document.lines[ROOT]))
    if problems:
        raise SecretFilesError(problems)
    return found


def check_defined_once(entries: Iterable[Entry]) -> None:
    """Refuse a key of a secret that two files define: one of the values would be lost.

    Raises:
        SecretFilesError: with both places of each.
    """
    problems = [
        Problem(
            entry.file,
            entry.line,
            f"{entry.key} of {entry.place} is defined in {first.file}:{first.line}, too: keep one",
        )
        for first, entry in _twice(entries, lambda entry: (str(entry.place), entry.key))
    ]
    if problems:
        raise SecretFilesError(problems)


def shared_keys(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return a sentence for each key that several secrets have: one Secret can hold only one."""
    return tuple(
        f"{entry.file}:{entry.line}: {entry.key} of {entry.place} is also a key of"
        f" {first.place} ({first.file}:{first.line}): they cannot be in one Kubernetes Secret"
        for first, entry in _twice(entries, lambda entry: (entry.key,))
    )


def _twice(entries: Iterable[Entry], identity: Any) -> Iterator[tuple[Entry, Entry]]:
    ordered = sorted(entries, key=lambda entry: (identity(entry), entry.file, entry.line))
    for _, group in groupby(ordered, identity):
        first, *others = group
        for other in others:
            yield first, other


@dataclass(frozen=True, slots=True)
class _Reader:
    file: str
    problems: list[Problem]

    def mounts(self, mounts: Any, line: int) -> Iterator[Entry]:
        if not isinstance(mounts, Mapping):
            self._add(line, f"{ROOT} must be a mapping of mounts")
            return
        for mount, content in mounts.items():
            line = mounts.line_of(mount)
            if self._is_name(mount, line):
                yield from self._folder(mount, (), content, line)

    def _folder(
        self, mount: str, path: tuple[str, ...], content: Any, line: int
    ) -> Iterator[Entry]:
        if not isinstance(content, Mapping):
            self._add(line, f"{'/'.join((mount, *path))} must be a mapping")
            return
        nested = {key for key, value in content.items() if isinstance(value, Mapping)}
        for key, value in content.items():
            where = content.line_of(key)
            if not self._is_name(key, where):
                continue
            if key in nested:
                yield from self._folder(mount, (*path, key), value, where)
            elif nested or not path:
                self._add(where, f"{key} is a value where only secrets or folders can be")
            else:
                yield from self._entry(Place(mount, "/".join(path)), key, value, where)

    def _entry(self, place: Place, key: str, value: Any, line: int) -> Iterator[Entry]:
        if isinstance(value, bool):
            value = str(value).lower()
        # A fraction has been rounded by now: 1.10 is 1.1.
        if isinstance(value, str | int):
            yield Entry(place, key, str(value), self.file, line)
        else:
            self._add(line, f"{key} of {place} must be a text: put it in quotes")

    def _is_name(self, name: str, line: int) -> bool:
        if NAME.fullmatch(name) and name not in {".", ".."}:
            return True
        self._add(line, f"{name!r} is no name of a mount, a folder, a secret or a key")
        return False

    def _add(self, line: int, sentence: str) -> None:
        self.problems.append(Problem(self.file, line, sentence))
