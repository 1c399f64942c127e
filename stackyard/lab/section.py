"""A section of a YAML file that knows its lines and refuses what nobody asked it for."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import yaml

from stackyard.lab.platform import PlatformError

Value = TypeVar("Value")
Lines = Mapping[tuple[str, ...], int]

_MOST_KEYS = 100_000
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def lines_of(node: yaml.Node | None) -> Lines:
    """Return the line of each key of a YAML document, by the keys that lead to it.

    Raises:
        ValueError: aliases make more keys of it than any platform has, or a key stands twice.
    """
    found: dict[tuple[str, ...], int] = {}
    for count, (path, line) in enumerate(_lines(node, ())):
        if count == _MOST_KEYS:
            raise ValueError(f"more than {_MOST_KEYS} keys")
        if path in found:
            raise ValueError(f"{'.'.join(path)} stands in line {found[path]} and in line {line}")
        found[path] = line
    return found


def _lines(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)


class Section:
    """A mapping of the file that knows where it stands and which of its keys were asked for."""

    def __init__(
        self,
        value: object,
        where: str,
        lines: Lines,
        path: tuple[str, ...] = (),
    ) -> None:
        self._where, self._lines, self._path = where, lines, path
        self._asked: set[str] = set()
        if not isinstance(value, Mapping | None):
            raise self.error(None, "must be a mapping of keys to values")
        self._values: Mapping[str, Any] = {str(k): v for k, v in (value or {}).items()}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    @property
    def name(self) -> str:
        return self._path[-1]

    def error(self, key: str | None, problem: str) -> PlatformError:
        """Return the sentence for a problem with one of the keys, or with the whole section."""
        path = (*self._path, key) if key else self._path
        line = next(
            (self._lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._lines), 1
        )
        return PlatformError(f"{self._where}:{line}: {'.'.join(path) or 'the file'} {problem}.")

    def section(self, key: str) -> "Section":
        self._asked.add(key)
        return Section(self._values.get(key), self._where, self._lines, (*self._path, key))

    def sections(self, key: str) -> Iterator["Section"]:
        """Yield each entry of a mapping of sections, and refuse what it did not expect."""
        group = self.section(key)
        for name in group._values:
            entry = group.section(name)
            yield entry
            entry.finish()

    def finish(self) -> None:
        for key in self._values:
            if key not in self._asked:
                raise self.error(
                    key, f"is no known key; known are {', '.join(sorted(self._asked))}"
                )

    def _get(self, key: str, default: Value, fits: Callable[[Any], bool], what: str) -> Value:
        self._asked.add(key)
        value: Value = self._values.get(key, default)
        if not fits(value):
            raise self.error(key, f"must be {what}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default, lambda v: isinstance(v, str) and bool(v), "a text")
        return value or ""

    def whole(self, key: str, default: int | None = None) -> int:
        return (
            self._get(key, default, lambda v: type(v) is int and v > 0, "a whole number above 0")
            or 0
        )

    def flag(self, key: str, *, default: bool) -> bool:
        return self._get(key, default, lambda v: isinstance(v, bool), "true or false")

    def seconds(self, key: str, default: float) -> float:
        return self._get(
            key, default, lambda v: type(v) in (int, float) and v >= 0, "a number of seconds"
        )

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self._get(
            key,
            list(default),
            lambda v: isinstance(v, list) and all(isinstance(item, str) for item in v),
            "a list of texts",
        )
        return tuple(value)

    def size(self, key: str) -> int:
        """Read a size such as 512M or 2.5G; the result is in bytes."""
        text = str(self._get(key, "", lambda v: isinstance(v, str | int), "a size such as 20G"))
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
        if not match:
            raise self.error(key, "must be a size such as 512M or 20G")
        return int(float(match[1]) * _UNITS[match[2]])

    def options(self, key: str) -> dict[str, str]:
        """Read a VM configuration: option names to values, as Proxmox's API takes them."""
        group = self.section(key)
        for name, value in group._values.items():
            if not isinstance(value, str | int):
                raise group.error(name, "must be a text or a number, as Proxmox's API takes it")
        return {
            name: str(int(v) if isinstance(v, bool) else v) for name, v in group._values.items()
        }
